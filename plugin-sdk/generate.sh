#!/bin/sh
# Generates the bindings that the templates in C and Go bring, and copies what the examples in JavaScript and Python have of the templates. Needed after a
# change of wit/0.1 or of the layers in templates/: `cargo install wit-bindgen-cli@0.63.0`, and gofmt of Go 1.24 or newer.
#
#   plugin-sdk/generate.sh            writes
#   plugin-sdk/generate.sh --check    only says what is not up to date; status 1 then
set -eu
cd "$(dirname "$0")/.."
templates=plugin-sdk/templates
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

bindings() {
    wit-bindgen "$@" >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
}
bindings c wit/0.1 --world middleware --no-object-file --out-dir "$out/c"
bindings go wit/0.1 --world middleware --pkg-name example.com/plugin/internal/wit --out-dir "$out/go"

status=0
# place FROM TO: one file
place() {
    if ! cmp -s "$1" "$2"; then
        if [ "${check:-}" ]; then
            echo "not up to date: $2"
            status=1
        else
            mkdir -p "$(dirname "$2")"
            cp "$1" "$2"
        fi
    fi
}
# place_all FROM TO: each file of a folder.
place_all() {
    for file in $(cd "$1" && find . -type f); do
        place "$1/$file" "$2/${file#./}"
    done
}

[ "${1:-}" != --check ] || check=1
place_all "$out/c" $templates/c/middleware/bindings
place_all "$out/go" $templates/go/middleware/internal/wit
for lang in js python; do
    for part in _common middleware; do
        place_all $templates/$lang/$part/torana examples/plugin-$lang/torana
    done
done
exit $status

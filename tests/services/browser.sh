#!/usr/bin/env bash
# A browser for tests of the dashboard.
#
#   browser.sh install     prints where the program is: $BROWSER_BIN, or Chromium, the Debian package when it is missing
#   browser.sh run DIR     runs it headless with its files below DIR, the developer protocol on stdin and stdout
set -euo pipefail

install() {
    local name
    [ -z "${BROWSER_BIN:-}" ] || { echo "$BROWSER_BIN"; return; }
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" && return
    done
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600) packages=(chromium fonts-dejavu-core)
    { "${apt[@]}" install "${packages[@]}" || { apt-get -qq update && "${apt[@]}" install "${packages[@]}"; }; } >&2
    command -v chromium
}

run() {
    local program
    program=$(install)
    # Without these it asks hosts outside at each start; shared memory and sandboxes are small or missing in containers.
    exec "$program" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --disable-extensions \
        --user-data-dir="$1" --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >/dev/null 2>"$1/log"
}

case ${1:-} in
    install) install ;;
    run) mkdir -p "$2"; run "$2" ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

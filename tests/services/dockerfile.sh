#!/usr/bin/env bash
# Builds the project's Dockerfile as it is where no registry can be reached: the images that it begins with are made
# from files of this machine, and their `cargo build` gives a binary that is there already.
#
#   dockerfile.sh BINARY NAME     makes the image NAME in the engine of DOCKER_HOST
#
# What is proved is all but the compiler: what .dockerignore lets through, the lines of both stages, the files, their
# owners, and that the binary runs on the libraries of the last one. Needs a static busybox (`docker.sh install`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
binary=${1:?the binary} name=${2:?the name of the image}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rust=$(sed -n 's/^ARG RUST=//p' Dockerfile)
# The names behind FROM, with the version put in.
mapfile -t from < <(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | sed "s/\${RUST}/$rust/")
[ ${#from[@]} -eq 2 ] || { echo "the Dockerfile has ${#from[@]} stages, not 2" >&2; exit 1; }

# A shell, and a toolchain that knows what it is asked for.
r=$work/build
mkdir -p "$r/bin" "$r/usr/local/bin" "$r/tmp"
cp /bin/busybox "$r/bin/"
for a in $(/bin/busybox --list | grep -vx busybox); do ln -s busybox "$r/bin/$a"; done
cp "$binary" "$r/torana"
strip "$r/torana" 2>/dev/null || true
cat >"$r/usr/local/bin/rustup" <<'SH'
#!/bin/sh
[ "$*" = "target add wasm32-wasip2" ] || { echo "rustup $*: not what is known here" >&2; exit 1; }
SH
cat >"$r/usr/local/bin/cargo" <<'SH'
#!/bin/sh
[ "$*" = "build --release --locked --package torana" ] || { echo "cargo $*: not what is known here" >&2; exit 1; }
for f in Cargo.toml Cargo.lock rust-toolchain.toml host/Cargo.toml plugin-sdk plugins tests/Cargo.toml wit .cargo; do
    [ -e "$f" ] || { echo "$f has not reached the build" >&2; exit 1; }
done
found=$(find . -name target -o -name .git -o -name '*.wasm' | head -n 1)
[ -z "$found" ] || { echo "$found has reached the build" >&2; exit 1; }
mkdir -p target/release && cp /torana target/release/torana
SH
chmod +x "$r"/usr/local/bin/*
tar -c --owner=0 --group=0 -C "$r" . | docker import --change 'ENV PATH=/usr/local/bin:/bin' - "${from[0]}" >/dev/null
rm -rf "$r"

# What the binary is linked with, names of users, authorities: no shell.
r=$work/run
mkdir -p "$r/etc/ssl/certs" "$r/tmp" "$r/home/nonroot"
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do cp -L --parents "$library" "$r"; done
cp -L /etc/ssl/certs/ca-certificates.crt "$r/etc/ssl/certs/"
printf 'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n' >"$r/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$r/etc/group"
chmod 1777 "$r/tmp"
tar -c --numeric-owner --owner=0 --group=0 -C "$r" . | docker import --change 'USER 65532' - "${from[1]}" >/dev/null

DOCKER_BUILDKIT=0 docker build --network none -t "$name" . >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
docker image inspect --format "$name: {{.Size}} bytes" "$name"

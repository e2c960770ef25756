#!/usr/bin/env bash
# A stand-in for Nomad for tests: the part of its API that services are read by (nomad_api.py).
# Nomad itself is in no package registry.
#
#   nomad.sh install         looks for Python
#   nomad.sh start DIR       runs it with its files below DIR, returns when it answers
#   nomad.sh stop DIR
#
# PORT is where it listens on 127.0.0.1; TOKEN, when set, is asked for. With CERT and KEY (files) it speaks TLS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

install() {
    command -v python3 >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install python3 || { apt-get -qq update && "${apt[@]}" install python3; }; } >&2
}

start() {
    local at=$1
    install
    mkdir -p "$at"
    setsid python3 "$here/nomad_api.py" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 100); do
        if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then return; fi
        sleep 0.1
    done
    tail -n 20 "$at/log" >&2
    stop "$at"
    return 1
}

stop() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    rm -f "$1/pid"
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q nomad_api.py; then kill "$pid"; fi
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

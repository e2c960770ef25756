#!/usr/bin/env bash
# A Redis server for tests.
#
#   redis.sh install       the Debian package, when it is missing
#   redis.sh start DIR     runs it with its files below DIR, returns when it answers
#   redis.sh stop DIR
#
# PORT is where it listens on 127.0.0.1; PASSWORD, when set, is asked for.
set -euo pipefail

install() {
    command -v redis-server >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install redis-server || { apt-get -qq update && "${apt[@]}" install redis-server; }; } >&2
}

start() {
    local at=$1 auth=()
    install
    mkdir -p "$at"
    [ -z "${PASSWORD:-}" ] || auth=(--requirepass "$PASSWORD")
    setsid redis-server --bind 127.0.0.1 --port "$PORT" --dir "$at" --appendonly yes --save "" "${auth[@]}" \
        >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 100); do
        if REDISCLI_AUTH=${PASSWORD:-} redis-cli -p "$PORT" ping 2>/dev/null | grep -q PONG; then return; fi
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
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */redis-*) kill "$pid" ;; esac
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

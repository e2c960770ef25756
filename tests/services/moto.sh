#!/usr/bin/env bash
# A stand-in for AWS for tests: moto's server, with tasks that look like running ones (moto_tasks.py).
#
#   moto.sh install         fetches it into the cache, and prints where
#   moto.sh start DIR       runs it with its files below DIR, returns when it answers
#   moto.sh stop DIR
#
# PORT is where it listens on 127.0.0.1; any credentials will do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=5.2.5
cache=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}
home=$cache/moto-$version

install() {
    [ -e "$home/done" ] && return
    mkdir -p "$cache"
    exec 9>"$cache/moto.lock"
    flock 9
    [ -e "$home/done" ] && return
    rm -rf "$home"
    python3 -m venv "$home" >&2
    "$home/bin/pip" install -q --no-compile "moto[server,ecs,ec2,ssm]==$version" >&2
    touch "$home/done"
    exec 9>&-
}

start() {
    local at=$1
    install
    mkdir -p "$at"
    setsid "$home/bin/python" "$here/moto_tasks.py" -H 127.0.0.1 -p "$PORT" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 600); do
        if curl -sf --noproxy '*' -o /dev/null --max-time 2 "http://127.0.0.1:$PORT/moto-api/"; then return; fi
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
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q moto_tasks.py; then kill "$pid"; fi
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install; echo "$home" ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

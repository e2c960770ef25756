#!/usr/bin/env bash
# An etcd server for tests.
#
#   etcd.sh install       the Debian packages, when they are missing
#   etcd.sh start DIR     runs it with its files below DIR, returns when it answers
#   etcd.sh stop DIR
#
# PORT is where it listens on 127.0.0.1, PORT_PEER where other members would reach it. With CERT and KEY (files) it
# speaks TLS, CA then being what clients trust it by. PASSWORD, when set, is the one of the user root, and asked for.
set -euo pipefail
export ETCDCTL_API=3

install() {
    command -v etcd >/dev/null && command -v etcdctl >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300) packages=(etcd-server etcd-client)
    { "${apt[@]}" install "${packages[@]}" || { apt-get -qq update && "${apt[@]}" install "${packages[@]}"; }; } >&2
}

start() {
    local at=$1 url=http://127.0.0.1:$PORT tls=() ctl=()
    install
    mkdir -p "$at"
    if [ -n "${CERT:-}" ]; then
        url=https://127.0.0.1:$PORT
        tls=(--cert-file "$CERT" --key-file "$KEY")
        ctl=(--cacert "$CA")
    fi
    setsid etcd --name test --data-dir "$at/db" --listen-client-urls "$url" --advertise-client-urls "$url" \
        --listen-peer-urls "http://127.0.0.1:$PORT_PEER" --initial-advertise-peer-urls "http://127.0.0.1:$PORT_PEER" \
        --initial-cluster "test=http://127.0.0.1:$PORT_PEER" --unsafe-no-fsync "${tls[@]}" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    ctl=(timeout 20 etcdctl --endpoints "$url" "${ctl[@]}")
    for _ in $(seq 150); do
        if curl -ksf --noproxy '*' --max-time 2 -o /dev/null "$url/health"; then
            if [ -n "${PASSWORD:-}" ]; then
                # after a restart all of this is there already
                "${ctl[@]}" user add "root:$PASSWORD" >/dev/null 2>&1 || true
                "${ctl[@]}" user grant-role root root >/dev/null 2>&1 || true
                "${ctl[@]}" auth enable >/dev/null 2>&1 || true
                "${ctl[@]}" --user "root:$PASSWORD" get x >/dev/null
            fi
            return
        fi
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
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */etcd) kill "$pid" ;; esac
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

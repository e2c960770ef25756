#!/usr/bin/env bash
# A Redis server for tests.
#
#   redis.sh install       the Debian package, when it is missing
#   redis.sh start DIR     runs it with its files below DIR, returns when it answers
#   redis.sh stop DIR
#
# PORT is where it listens on 127.0.0.1; PASSWORD, when set, is asked for. With CERT and KEY (files) it speaks TLS, CA
# then being what clients trust it by; CLIENT and CLIENT_KEY, files too, are what clients then have to show. SENTINEL=port,name makes it
# a sentinel of the server at that port. BUS, a port too, makes it a node of a cluster, which `redis-cli --cluster` joins.
set -euo pipefail

install() {
    command -v redis-server >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install redis-server || { apt-get -qq update && "${apt[@]}" install redis-server; }; } >&2
}

start() {
    local at=$1 auth=() listen=(--port "$PORT") tls=()
    install
    mkdir -p "$at"
    [ -z "${PASSWORD:-}" ] || auth=(--requirepass "$PASSWORD")
    if [ -n "${CERT:-}" ]; then
        listen=(--port 0 --tls-port "$PORT" --tls-cert-file "$CERT" --tls-key-file "$KEY" --tls-ca-cert-file "$CA" --tls-auth-clients "$([ -n "${CLIENT:-}" ] && echo yes || echo no)")
        tls=(--tls --cacert "$CA" ${CLIENT:+--cert "$CLIENT" --key "$CLIENT_KEY"})
    fi
    # A node that does not answer for so long has failed.
    [ -z "${BUS:-}" ] || listen+=(--cluster-enabled yes --cluster-port "$BUS" --cluster-node-timeout 1000 --cluster-require-full-coverage no)
    if [ -n "${SENTINEL:-}" ]; then
        printf 'sentinel monitor %s 127.0.0.1 %s 1\nsentinel down-after-milliseconds %s 500\n' \
            "${SENTINEL#*,}" "${SENTINEL%,*}" "${SENTINEL#*,}" >"$at/sentinel.conf"
        setsid redis-server "$at/sentinel.conf" --sentinel --bind 127.0.0.1 --port "$PORT" >"$at/log" 2>&1 </dev/null &
    else
        setsid redis-server --bind 127.0.0.1 "${listen[@]}" --dir "$at" --appendonly yes --save "" "${auth[@]}" \
            >"$at/log" 2>&1 </dev/null &
    fi
    echo $! >"$at/pid"
    for _ in $(seq 100); do
        if REDISCLI_AUTH=${PASSWORD:-} redis-cli "${tls[@]}" -p "$PORT" ping 2>/dev/null | grep -q PONG; then return; fi
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
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

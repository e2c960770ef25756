#!/usr/bin/env bash
# A DNS server for tests: Knot, which takes dynamic updates (RFC 2136) that are signed.
#
#   knot.sh install              the Debian packages, when they are missing
#   knot.sh start DIR            runs it with its files below DIR, returns when it answers, writes DIR/env
#   knot.sh texts DIR NAME       prints the TXT records of a name
#   knot.sh stop DIR
#
# PORT is where it listens on 127.0.0.1 (or on HOST, another address of this machine). ZONES are its zones; every name
# in them is 127.0.0.1, but for those of RECORDS, which are lines of a zone file and stand in each of them.
set -euo pipefail

install() {
    command -v knotd >/dev/null && command -v kdig >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install knot knot-dnsutils || { apt-get -qq update && "${apt[@]}" install knot knot-dnsutils; }; } >&2
}

ask() { kdig +short +timeout=1 +retry=0 @"$HOST" -p "$PORT" "$@"; }

start() {
    local at=$1 zone secret
    install
    mkdir -p "$at/zones" "$at/run"
    secret=$(head -c 32 /dev/urandom | base64)
    {
        cat <<CONF
server:
    rundir: "$at/run"
    listen: $HOST@$PORT
database:
    storage: "$at/run"
log:
  - target: stderr
    any: info
key:
  - id: tests.
    algorithm: hmac-sha512
    secret: $secret
acl:
  - id: tests
    key: tests.
    action: update
template:
  - id: default
    storage: "$at/zones"
    acl: tests
zone:
CONF
        for zone in $ZONES; do echo "  - domain: $zone"; done
    } >"$at/knot.conf"
    for zone in $ZONES; do
        cat >"$at/zones/${zone}zone" <<ZONE
\$ORIGIN $zone
\$TTL 1
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
@ A 127.0.0.1
* A 127.0.0.1
${RECORDS:-}
ZONE
    done
    setsid "$(command -v knotd)" -c "$at/knot.conf" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 100); do
        if [ "$(ask "x.${ZONES%% *}" A)" = 127.0.0.1 ]; then
            printf 'TSIG_KEY=tests.\nTSIG_ALGORITHM=hmac-sha512.\nTSIG_SECRET=%s\n' "$secret" >"$at/env"
            return
        fi
        sleep 0.1
    done
    cat "$at/log" >&2
    stop "$at"
    return 1
}

stop() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */knotd) kill "$pid" ;; esac
    rm -f "$1/pid"
}

HOST=${HOST:-127.0.0.1}
case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    texts) ask "$3" TXT ;;
    stop) stop "$2" ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

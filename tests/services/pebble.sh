#!/usr/bin/env bash
# A CA for tests: Pebble, with its own DNS server beside it, which says 127.0.0.1 for every name.
#
#   pebble.sh install        fetches it into the cache, and prints where
#   pebble.sh start DIR      runs it with its files below DIR, returns when it answers, writes DIR/env
#   pebble.sh stop DIR
#
# Where it listens (on 127.0.0.1): PORT is the CA, PORT_MANAGEMENT its roots and states, PORT_DNS the DNS server,
# PORT_DNS_API that one's records. What it validates: PORT_HTTP for HTTP-01, PORT_TLS for TLS-ALPN-01.
# DNS=host:port asks another DNS server. EAB=1 wants accounts that it knows (kid and key in DIR/env).
# LIFE is how many seconds certificates are valid. CHAINS is how many chains there are beside the first.
set -euo pipefail

version=trixie
cache=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}
home=$cache/pebble-$version
kid=torana-test
hmac=dG9yYW5hLXRlc3RzLWtleS1vZi1hbi1leHRlcm5hbC1hY2NvdW50

# The packages are Go programs that need libc alone: they are unpacked, not installed, and with package lists of
# their own, so that nothing of the machine changes.
install() {
    [ -x "$home/usr/bin/pebble" ] && return
    mkdir -p "$cache"
    exec 9>"$cache/pebble.lock"
    flock 9
    [ -x "$home/usr/bin/pebble" ] && return
    local work mirror
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n1)
    echo "deb $mirror $version main" >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o Dir::State::Status=/dev/null
        -o APT::Sandbox::User=root -o Acquire::Languages=none)
    "${apt[@]}" update >&2
    (cd "$work" && "${apt[@]}" download pebble >&2)
    dpkg-deb -x "$work"/pebble_*.deb "$work/root"
    rm -rf "$home"
    mv "$work/root" "$home"
    rm -rf "$work"
    exec 9>&-
}

# A certificate of the CA's own server, by an authority made for it.
certificate() {
    local at=$1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-root \
        -keyout "$at/root.key" -out "$at/root.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pebble \
        -keyout "$at/server.key" -out "$at/server.csr" 2>/dev/null
    openssl x509 -req -days 30 -in "$at/server.csr" -CA "$at/root.pem" -CAkey "$at/root.key" -CAcreateserial \
        -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n') -out "$at/server.pem" 2>/dev/null
}

answers() {
    curl -ksf --noproxy '*' -o /dev/null --max-time 2 "https://127.0.0.1:$PORT/dir" &&
        (: <"/dev/tcp/127.0.0.1/$PORT_DNS_API") 2>/dev/null
}

start() {
    local at=$1
    install
    mkdir -p "$at"
    [ -f "$at/server.pem" ] || certificate "$at"
    local required=false dns=${DNS:-127.0.0.1:$PORT_DNS}
    [ "${EAB:-0}" = 1 ] && required=true
    cat >"$at/pebble.json" <<JSON
{"pebble": {
  "listenAddress": "127.0.0.1:$PORT", "managementListenAddress": "127.0.0.1:$PORT_MANAGEMENT",
  "certificate": "$at/server.pem", "privateKey": "$at/server.key",
  "httpPort": $PORT_HTTP, "tlsPort": $PORT_TLS, "ocspResponderURL": "",
  "externalAccountBindingRequired": $required, "externalAccountMACKeys": {"$kid": "$hmac"},
  "retryAfter": {"authz": 1, "order": 1},
  "certificateValidityPeriod": ${LIFE:-7776000}
}}
JSON
    setsid "$home/usr/bin/pebble-challtestsrv" -defaultIPv4 127.0.0.1 -defaultIPv6 "" -http01 "" -https01 "" \
        -tlsalpn01 "" -doh "" -dns01 "127.0.0.1:$PORT_DNS" -management "127.0.0.1:$PORT_DNS_API" \
        >"$at/dns.log" 2>&1 </dev/null &
    echo $! >"$at/pids"
    PEBBLE_VA_NOSLEEP=1 PEBBLE_AUTHZREUSE=0 PEBBLE_WFE_NONCEREJECT=${NONCE_REJECT:-15} \
        PEBBLE_ALTERNATE_ROOTS=${CHAINS:-0} \
        setsid "$home/usr/bin/pebble" -config "$at/pebble.json" -dnsserver "$dns" >"$at/pebble.log" 2>&1 </dev/null &
    echo $! >>"$at/pids"
    for _ in $(seq 100); do
        if answers; then
            cat >"$at/env" <<ENV
ACME_DIRECTORY=https://127.0.0.1:$PORT/dir
ACME_AUTHORITY=$at/root.pem
EAB_KID=$kid
EAB_HMAC=$hmac
ENV
            return
        fi
        sleep 0.1
    done
    tail -n 20 "$at/dns.log" "$at/pebble.log" >&2
    stop "$at"
    return 1
}

# By the ids that were written down, and only when these are still our programs.
stop() {
    local pid
    for pid in $(cat "$1/pids" 2>/dev/null); do
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in "$home"/*) kill "$pid" ;; esac
    done
    rm -f "$1/pids"
}

case ${1:-} in
    install) install; echo "$home" ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

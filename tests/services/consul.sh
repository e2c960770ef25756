#!/usr/bin/env bash
# A Consul server for tests: one agent, keys and values and the catalogue.
#
#   consul.sh install        fetches it into the cache, and prints where
#   consul.sh start DIR      runs it with its files below DIR, returns when it answers
#   consul.sh stop DIR
#
# PORT is where it listens on 127.0.0.1; PORT_SERVER and the two after it are for other servers. With PORT_HTTPS, CERT
# and KEY (files) it speaks TLS there too. TOKEN, when set, is the only one that may do anything.
set -euo pipefail

# Debian's last release with it. Its package is one Go program that needs libc alone: it is unpacked, not installed.
version=bullseye
cache=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}
home=$cache/consul-$version

install() {
    [ -x "$home/usr/bin/consul" ] && return
    mkdir -p "$cache"
    exec 9>"$cache/consul.lock"
    flock 9
    [ -x "$home/usr/bin/consul" ] && return
    local work mirror
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n1)
    echo "deb $mirror $version main" >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o Dir::State::Status=/dev/null
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
    "${apt[@]}" update >&2
    (cd "$work" && "${apt[@]}" download consul >&2)
    dpkg-deb -x "$work"/consul_*.deb "$work/root"
    rm -rf "$home"
    mv "$work/root" "$home"
    rm -rf "$work"
    exec 9>&-
}

leader() {
    curl -sf --noproxy '*' --max-time 2 -H "X-Consul-Token: ${TOKEN:-}" "http://127.0.0.1:$PORT/v1/status/leader" | grep -q :
}

start() {
    local at=$1 acl='"enabled": false' tls=
    install
    mkdir -p "$at"
    [ -z "${TOKEN:-}" ] || acl='"enabled": true, "default_policy": "deny", "tokens": {"master": "'$TOKEN'", "agent": "'$TOKEN'"}'
    [ -z "${CERT:-}" ] || tls='"cert_file": "'$CERT'", "key_file": "'$KEY'",'
    cat >"$at/consul.json" <<JSON
{"datacenter": "dc1", "node_name": "test", "server": true, "bootstrap_expect": 1, "data_dir": "$at/db",
 "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "acl": {$acl}, "disable_update_check": true, $tls
 "connect": {"enabled": true}, "leave_on_terminate": false, "performance": {"raft_multiplier": 1},
 "ports": {"http": $PORT, "https": ${PORT_HTTPS:--1}, "grpc": -1, "dns": -1, "server": $PORT_SERVER,
           "serf_lan": $((PORT_SERVER + 1)), "serf_wan": $((PORT_SERVER + 2))}}
JSON
    setsid "$home/usr/bin/consul" agent -config-file "$at/consul.json" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 300); do
        if leader; then return; fi
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
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in "$home"/*) kill "$pid" ;; esac
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install; echo "$home" ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

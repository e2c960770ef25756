#!/usr/bin/env bash
# A ZooKeeper server for tests.
#
#   zookeeper.sh install       the Debian packages (and Java), when they are missing
#   zookeeper.sh start DIR     runs it with its files below DIR, returns when it answers
#   zookeeper.sh stop DIR
#   zookeeper.sh cli COMMAND   its client: `create /a text`, `set`, `delete`, `deleteall`; several, one a line, on stdin
#
# PORT is where it listens on 127.0.0.1.
set -euo pipefail

install() {
    [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install zookeeper || { apt-get -qq update && "${apt[@]}" install zookeeper; }; } >&2
}

classes() {
    local path
    path=$(. /etc/zookeeper/conf/environment 2>/dev/null; printf '%s' "${CLASSPATH:-}")
    [ -n "$path" ] || path=$(printf '%s:' /usr/share/java/*.jar)
    printf '%s' "$path"
}

answers() {
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf ruok >&3 && timeout 2 cat <&3 | grep -q imok
}

start() {
    local at=$1
    install
    mkdir -p "$at/db"
    cat >"$at/zoo.cfg" <<CFG
tickTime=500
dataDir=$at/db
clientPort=$PORT
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok
maxClientCnxns=200
CFG
    setsid java -Xmx256m -cp "$(classes)" -Dzookeeper.log.dir="$at" \
        org.apache.zookeeper.server.ZooKeeperServerMain "$at/zoo.cfg" >"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 300); do
        if (answers) 2>/dev/null; then return; fi
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
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */java) kill "$pid" ;; esac
    while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" >/dev/null; do sleep 0.05; done
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    cli) shift; java -Xmx64m -cp "$(classes)" org.apache.zookeeper.ZooKeeperMain -server "127.0.0.1:$PORT" "$@" ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

#!/usr/bin/env bash
# The API of Podman for tests, as root, with files and networks of its own.
#
#   podman.sh install        the Debian packages, when they are missing
#   podman.sh start DIR      runs it with its files below DIR, loads the image torana-test/web; the socket is DIR/docker.sock
#   podman.sh leave DIR      ends the API alone; containers go on, and `start` finds them
#   podman.sh check DIR NAME runs the health check of a container: Podman leaves that to systemd, which may not be there
#   podman.sh stop DIR       removes all containers, then ends it
#
# Networks: `podman`, which is the default, and `second`. Nothing is changed in the firewall of the machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

install() {
    local missing=() p
    for p in podman containernetworking-plugins runc iproute2; do
        dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
    done
    "$here/docker.sh" install
    [ ${#missing[@]} -gt 0 ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    [ -x /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d; }
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600)
    { "${apt[@]}" install "${missing[@]}" || { apt-get -qq update && "${apt[@]}" install "${missing[@]}"; }; } >&2
}

# network NAME NUMBER: a bridge, and 10.<number>.0.0/24 behind it.
network() {
    cat >"$at/net.d/$1.conflist" <<CNI
{"cniVersion": "0.4.0", "name": "$1", "plugins": [{"type": "bridge", "bridge": "trp$2", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$at/addresses", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.$2.0.0/24", "gateway": "10.$2.0.1"}]]}}]}
CNI
}

# One that neither this script nor docker.sh uses.
free_number() {
    local n
    for n in $(shuf -i 20-219); do
        ip -o addr | grep -q " 10\.$n\." || { echo "$n"; return; }
    done
}

settings() {
    [ -f "$at/containers.conf" ] && return
    mkdir -p "$at/net.d"
    network podman "$(free_number)"
    network second "$(free_number)"
    cat >"$at/containers.conf" <<CONF
[network]
network_backend = "cni"
network_config_dir = "$at/net.d"
cni_plugin_dirs = ["/usr/lib/cni"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
CONF
    printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/lib"\n' "$at" "$at" >"$at/storage.conf"
}

podman() { command podman --tmpdir "$at/tmp" "$@"; }
answers() { curl -sf -m 3 --unix-socket "$at/docker.sock" http://d/_ping >/dev/null 2>&1; }

start() {
    install
    mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
    mkdir -p "$at"
    settings
    setsid "$(type -P podman)" --tmpdir "$at/tmp" system service --time 0 "unix://$at/docker.sock" >>"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 300); do
        answers && break
        [ -d "/proc/$(cat "$at/pid")" ] || break
        sleep 0.1
    done
    answers || { tail -n 20 "$at/log" >&2; stop; return 1; }
    "$here/docker.sh" image "$at/docker.sock"
}

leave() {
    local pid
    pid=$(cat "$at/pid" 2>/dev/null) || return 0
    rm -f "$at/pid" "$at/docker.sock"
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */podman) kill "$pid" ;; esac
    for _ in $(seq 100); do
        readlink "/proc/$pid/exe" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}

stop() {
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    leave
    local bridge
    for bridge in $(grep -oh 'trp[0-9]*' "$at"/net.d/* 2>/dev/null); do ip link del "$bridge" 2>/dev/null || true; done
    umount -l "$at"/lib "$at"/run/* 2>/dev/null || true
}

at=${2:-}
export CONTAINERS_CONF=$at/containers.conf CONTAINERS_STORAGE_CONF=$at/storage.conf
case ${1:-} in
    install) install ;;
    start) start ;;
    leave) leave ;;
    check) podman healthcheck run "$3" ;;
    stop) stop ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

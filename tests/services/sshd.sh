#!/usr/bin/env bash
# An SSH server for tests that lets in the user who runs it, by a key made for it.
#
#   sshd.sh install       the Debian package, when it is missing
#   sshd.sh start DIR     runs it with its files below DIR, returns when it listens
#   sshd.sh cut DIR       ends it and all connections through it; `start` begins again
#   sshd.sh rekey DIR     another key of the host from the next start on
#   sshd.sh stop DIR
#
# PORT is where it listens on 127.0.0.1. DIR/bin/ssh is an `ssh` that uses DIR/key, and trusts what DIR/known_hosts
# has: `start` writes it once. Needs root.
set -euo pipefail

install() {
    command -v sshd >/dev/null && command -v ssh >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    [ -x /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d; }
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install openssh-server openssh-client || { apt-get -qq update && "${apt[@]}" install openssh-server openssh-client; }; } >&2
}

hostkey() {
    rm -f "$1/host" "$1/host.pub"
    ssh-keygen -q -t ed25519 -N '' -f "$1/host"
}

start() {
    local at=$1
    install
    mkdir -p "$at/bin" /run/sshd
    [ -f "$at/host" ] || hostkey "$at"
    [ -f "$at/key" ] || ssh-keygen -q -t ed25519 -N '' -f "$at/key"
    [ -f "$at/known_hosts" ] || echo "[127.0.0.1]:$PORT $(cut -d' ' -f1,2 "$at/host.pub")" >"$at/known_hosts"
    cp "$at/key.pub" "$at/authorized_keys"
    printf '%s\n' "Port $PORT" "ListenAddress 127.0.0.1" "HostKey $at/host" "AuthorizedKeysFile $at/authorized_keys" "PidFile $at/sshd.pid" \
        "StrictModes no" "UsePAM no" "PasswordAuthentication no" "KbdInteractiveAuthentication no" "PermitRootLogin prohibit-password" \
        "MaxStartups 100" >"$at/sshd_config"
    printf '%s\n' "IdentityFile $at/key" "IdentitiesOnly yes" "UserKnownHostsFile $at/known_hosts" "GlobalKnownHostsFile /dev/null" \
        "StrictHostKeyChecking yes" >"$at/ssh_config"
    printf '#!/bin/sh\nexec %s -F %s/ssh_config "$@"\n' "$(PATH=/usr/bin:/bin command -v ssh)" "$at" >"$at/bin/ssh"
    chmod +x "$at/bin/ssh"
    setsid "$(command -v sshd || echo /usr/sbin/sshd)" -D -f "$at/sshd_config" -E "$at/log" </dev/null >/dev/null 2>&1 &
    echo $! >"$at/pid"
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then return; fi
        sleep 0.05
    done
    tail -n 20 "$at/log" >&2
    cut_off "$at"
    return 1
}

# The server has a session of its own: what it has started is in there.
cut_off() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    rm -f "$1/pid"
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */sshd) ;; *) return 0 ;; esac
    local below=$pid all=$pid
    while below=$(for p in $below; do cat "/proc/$p/task/"*/children 2>/dev/null; done | tr -s ' \n' ' ') && [ -n "${below// /}" ]; do
        all="$all $below"
    done
    # shellcheck disable=SC2086
    kill $all 2>/dev/null || true
    for _ in $(seq 100); do
        readlink "/proc/$pid/exe" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    cut | stop) cut_off "$2" ;;
    rekey) hostkey "$2" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

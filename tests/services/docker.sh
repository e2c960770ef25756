#!/usr/bin/env bash
# A Docker engine of its own for tests, beside one that may be there.
#
#   docker.sh install          the Debian packages, when they are missing, and docker compose
#   docker.sh start DIR        runs it with its files below DIR, loads the image torana-test/web, writes DIR/env
#   docker.sh stop DIR         removes all containers, then ends it
#   docker.sh leave DIR        ends it alone; containers go on, when it was started with LIVE set (`start` takes them over)
#   docker.sh swarm DIR        makes it a swarm of one node, with the overlay network `mesh` and a container on it
#   docker.sh enter DIR CMD    runs CMD of this machine inside `mesh`, whose addresses the machine itself cannot reach
#   docker.sh image SOCKET     loads the image alone, into an engine that somebody else runs
#
# PORT, when set, is where it also listens on 127.0.0.1 with TLS and client certificates. 
# Needs root. The image (busybox httpd on port 8080, /cgi-bin/whoami tells of the request) is made without a registry.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
IMAGE=torana-test/web:latest
CACHE=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}

apt() { apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"; }

install() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v iptables >/dev/null || missing+=(iptables)
    command -v ip >/dev/null || missing+=(iproute2)
    [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing+=(busybox-static)
    if [ ${#missing[@]} -gt 0 ]; then
        { apt install "${missing[@]}" || { apt update && apt install "${missing[@]}"; }; } >&2
    fi
    compose
}

# docker compose is a plugin that old Debians do not have: taken from one that does, and put where the client looks.
compose() {
    docker compose version >/dev/null 2>&1 && return
    local at=$CACHE/compose lists
    if [ ! -x "$at/docker-compose" ]; then
        lists=$(mktemp -d)
        mkdir -p "$at" "$lists/lists/partial" "$lists/cache/archives/partial"
        echo "deb $(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -1) trixie main" >"$lists/sources"
        local opts=(-qq -o "Dir::Etc::SourceList=$lists/sources" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$lists/lists"
            -o "Dir::Cache=$lists/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root
            -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none)
        apt-get "${opts[@]}" update >&2
        (cd "$lists" && apt-get "${opts[@]}" download docker-compose >&2 && dpkg-deb -x docker-compose_*.deb tree)
        cp "$lists/tree/usr/libexec/docker/cli-plugins/docker-compose" "$at/docker-compose"
        rm -rf "$lists"
    fi
    mkdir -p "$HOME/.docker/cli-plugins"
    ln -sfn "$at/docker-compose" "$HOME/.docker/cli-plugins/docker-compose"
}

certificates() {
    local d=$1
    [ -s "$d/server.pem" ] && return
    mkdir -p "$d"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=docker test CA" \
        -keyout "$d/ca.key" -out "$d/ca.pem" 2>/dev/null
    local name
    for name in server client; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$d/$name.key" 2>/dev/null |
            openssl x509 -req -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial -days 3650 -extfile \
                <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n') -out "$d/$name.pem" 2>/dev/null
    done
}

image() {
    docker image inspect "$IMAGE" >/dev/null 2>&1 && return
    local r a
    r=$(mktemp -d)
    mkdir -p "$r/bin" "$r/www/cgi-bin" "$r/etc" "$r/tmp"
    cp /bin/busybox "$r/bin/"
    for a in $(/bin/busybox --list | grep -vx busybox); do ln -s busybox "$r/bin/$a"; done
    printf 'root:x:0:0::/:/bin/sh\n' >"$r/etc/passwd"
    echo ok >"$r/www/health"
    cat >"$r/www/cgi-bin/whoami" <<'CGI'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "Name: ${SERVER_ID:-$(hostname)}"
echo "$REQUEST_METHOD $REQUEST_URI"
CGI
    # Long enough to be under way while its container is stopped.
    printf '#!/bin/sh\nsleep 2\nprintf "Content-Type: text/plain\\r\\n\\r\\nslow"\n' >"$r/www/cgi-bin/slow"
    chmod +x "$r"/www/cgi-bin/*
    tar c -C "$r" . | docker import --change 'CMD ["/bin/httpd","-f","-p","8080","-h","/www"]' --change 'EXPOSE 8080' - "$IMAGE" >/dev/null
    rm -rf "$r"
}

answers() { curl -sf -m 3 --unix-socket "$1/docker.sock" http://d/_ping >/dev/null 2>&1; }

start() {
    local at=$1 listen=() n bridge
    install
    mkdir -p "$at"
    mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
    # A bridge and addresses of its own, so that engines do not meet; one that is started again has the same.
    bridge=$(cat "$at/bridge" 2>/dev/null) || bridge=
    for n in "${bridge#trn}" $(shuf -i 20-219); do
        [ -n "$n" ] || continue
        bridge=trn$n
        [ -s "$at/bridge" ] && ip link show "$bridge" >/dev/null 2>&1 && break
        # The address is said, for a bridge that chooses takes that of a container, and another one when that leaves:
        # the others then send to nobody until they ask anew, which takes most of a minute.
        ip link add "$bridge" address "$(printf '02:42:0a:%02x:00:01' "$n")" type bridge 2>/dev/null || continue
        ip addr add "10.$n.0.1/24" dev "$bridge"
        ip link set "$bridge" up
        break
    done
    echo "$bridge" >"$at/bridge"
    if [ -n "${PORT:-}" ]; then
        certificates "$at/tls"
        listen=(-H "tcp://127.0.0.1:$PORT" --tlsverify --tlscacert "$at/tls/ca.pem" --tlscert "$at/tls/server.pem" --tlskey "$at/tls/server.key")
    fi
    [ -z "${LIVE:-}" ] || listen+=(--live-restore)
    rm -f "$at/docker.sock" "$at/docker.pid"
    setsid dockerd --data-root "$at/lib" --exec-root "$at/run" --pidfile "$at/docker.pid" -H "unix://$at/docker.sock" "${listen[@]}" \
        --bridge "$bridge" --iptables="${IPTABLES:-false}" --default-address-pool "base=10.$n.128.0/17,size=24" >>"$at/log" 2>&1 </dev/null &
    echo $! >"$at/pid"
    for _ in $(seq 300); do
        answers "$at" && break
        [ -d "/proc/$(cat "$at/pid")" ] || break
        sleep 0.1
    done
    answers "$at" || { tail -n 20 "$at/log" >&2; stop "$at"; return 1; }
    export DOCKER_HOST=unix://$at/docker.sock
    image
    echo "DOCKER_HOST=unix://$at/docker.sock" >"$at/env"
}

ended() {
    local pid=$1
    for _ in $(seq 200); do
        case $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) in '' | Z) return ;; esac
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}

end() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    rm -f "$1/pid"
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */dockerd) kill "-$2" "$pid"; ended "$pid" ;; esac
}

# What an engine that was killed leaves behind.
below() {
    local pid
    pid=$(cat "$1/run/containerd/containerd.pid" 2>/dev/null) || pid=
    case $(readlink "/proc/${pid:-0}/exe" 2>/dev/null) in */containerd) kill -KILL "$pid" && ended "$pid" ;; esac
    rm -f "$1/run/containerd/containerd.pid"
}

stop() {
    if answers "$1"; then
        export DOCKER_HOST=unix://$1/docker.sock
        docker swarm leave --force >/dev/null 2>&1 || true
        docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
        docker network prune -f >/dev/null 2>&1 || true
    fi
    end "$1" TERM
    below "$1"
    ip link del "$(cat "$1/bridge" 2>/dev/null)" 2>/dev/null || true
    umount -l "$1"/run/netns/* "$1"/lib/*/*/merged "$1/lib" 2>/dev/null || true
}

swarm() {
    export DOCKER_HOST=unix://$1/docker.sock
    [ "$(docker info -f '{{.Swarm.LocalNodeState}}')" = active ] ||
        docker swarm init --advertise-addr 127.0.0.1 --listen-addr "127.0.0.1:${SWARM_PORT:-0}" --default-addr-pool 10.250.0.0/16 >/dev/null
    docker network inspect mesh >/dev/null 2>&1 || docker network create -d overlay --attachable mesh >/dev/null
    docker container inspect inside >/dev/null 2>&1 || docker run -d --name inside --network mesh --label traefik.enable=false "$IMAGE" /bin/sleep 1000000 >/dev/null
}

enter() {
    local at=$1
    shift
    exec nsenter -t "$(docker -H "unix://$at/docker.sock" inspect -f '{{.State.Pid}}' inside)" -n "$@"
}

case ${1:-} in
    install) install ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    leave) end "$2" TERM ;;
    swarm) swarm "$2" ;;
    enter) shift; enter "$@" ;;
    image) export DOCKER_HOST=unix://$2; image ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

#!/usr/bin/env bash
# A real Kubernetes API server (1.20.2) for tests, with etcd behind it and neither nodes nor controllers: whoever
# tests writes the EndpointSlices.
#
#   k8s.sh install        what start needs, and prints the server's path
#   k8s.sh start DIR      runs both with their files below DIR, returns when it is ready, writes DIR/env
#   k8s.sh halt DIR       ends the API server alone; `resume DIR` starts it again, with all that it held
#   k8s.sh stop DIR
#
# Addresses of services are below 127.96: what listens there on this machine is the service.
# PORT is the API server's on 127.0.0.1 (https), PORT_ETCD and PORT_PEER are etcd's. DIR/env has KUBECONFIG (an
# administrator's), KUBECTL, URL, CA and TOKEN. The bearer token `gateway-token` is the user `gateway`, who has the
# rights that the test grants.
#
# No registry has the server as a program, but Debian 12 has its whole source: it is built from that, once for each
# machine (seven minutes of a core). K8S_APISERVER names one that is built already, packed by xz or not; one beside
# the checkout is found. It knows EndpointSlices of the version v1beta1 only: a definition takes their place.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TORANA_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/torana-tests}
server=$cache/kube-apiserver-1.20.2
kubectl=$cache/kubectl-trixie/usr/bin/kubectl
source=1.20.5+really1.20.2

mirror() {
    apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n1
}

# packages NAME...: Debian packages that are missing.
packages() {
    local p missing=()
    for p in "$@"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] && return
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install "${missing[@]}" || { apt-get -qq update && "${apt[@]}" install "${missing[@]}"; }; } >&2
}

# etcd is a program alone here: the package would start it as a service.
need_etcd() {
    type -P etcd >/dev/null && return
    [ -x /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d; }
    packages etcd-server
}

# A Go program of another release: it needs libc alone.
fetch_kubectl() {
    [ -x "$kubectl" ] && return
    local work
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    echo "deb $(mirror) trixie main" >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o Dir::State::Status=/dev/null
        -o APT::Sandbox::User=root -o Acquire::Languages=none)
    "${apt[@]}" update >&2
    (cd "$work" && "${apt[@]}" download kubectl >&2)
    dpkg-deb -x "$work"/kubectl_*.deb "$work/root"
    rm -rf "$cache/kubectl-trixie"
    mv "$work/root" "$cache/kubectl-trixie"
    rm -rf "$work"
}

build() {
    packages golang-go golang-github-modern-go-reflect2-dev make rsync dpkg-dev gcc libc6-dev
    local work
    work=$(mktemp -d "$cache/build.XXXXXX")
    mkdir -p "$work/src" "$work/lists/partial" "$work/archives/partial"
    echo "deb-src $(mirror) bookworm main" >"$work/sources"
    echo "k8s.sh: building kube-apiserver from Debian's source, minutes; log in $work/log" >&2
    (
        cd "$work"
        apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
            -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
        "${apt[@]}" update
        "${apt[@]}" source --download-only kubernetes
        tar xzf "kubernetes_$source.orig.tar.gz" -C src --strip-components=1
        cd src
        # The reflect2 of that time crashes with the Go of this one.
        r=github.com/modern-go/reflect2
        rm -f vendor/$r/*.go vendor/$r/*.s
        cp /usr/share/gocode/src/$r/*.go /usr/share/gocode/src/$r/*.s vendor/$r/
        rm -f vendor/$r/*_test.go
        # One file is not in the package but generated.
        export GOPATH=$work/src/_output/local/go GOCACHE=$work/go-cache GO111MODULE=off GOFLAGS=
        make -f Makefile.generated_files CALLED_FROM_MAIN_MAKEFILE=1 OUT_DIR=_output BIN_DIR=_output/bin \
            PRJ_SRC_PATH=k8s.io/kubernetes GENERATED_FILE_PREFIX=zz_generated. META_DIR=.make KUBE_VERBOSE=1 gen_openapi
        cd "$GOPATH/src/k8s.io/kubernetes"
        v=k8s.io/kubernetes/vendor/k8s.io
        go build -trimpath -o "$work/server" -ldflags "-s -w -X $v/component-base/version.gitVersion=v1.20.2
            -X $v/component-base/version.gitMajor=1 -X $v/component-base/version.gitMinor=20
            -X $v/client-go/pkg/version.gitVersion=v1.20.2" k8s.io/kubernetes/cmd/kube-apiserver
    ) >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; return 1; }
    mv "$work/server" "$server"
    rm -rf "$work"
}

install() {
    mkdir -p "$cache"
    exec 9>"$cache/k8s.lock"
    flock 9
    need_etcd
    command -v openssl >/dev/null || packages openssl
    fetch_kubectl
    local given=${K8S_APISERVER:-$here/../../../shared/services/kube-apiserver-1.20.2.xz}
    if [ ! -x "$server" ]; then
        case $given in
            *.xz) if [ -f "$given" ]; then xz -dc "$given" >"$server.new" && chmod +x "$server.new" && mv "$server.new" "$server"; fi ;;
            *) if [ -x "$given" ]; then cp "$given" "$server.new" && mv "$server.new" "$server"; fi ;;
        esac
    fi
    [ -x "$server" ] || build
    exec 9>&-
    echo "$server"
}

k() {
    "$kubectl" --kubeconfig "$at/kubeconfig" "$@"
}

# spawn NAME COMMAND...
spawn() {
    local name=$1
    shift
    setsid "$@" >>"$at/$name.log" 2>&1 </dev/null &
    echo $! >"$at/$name.pid"
}

# wait_for COMMAND...: until it succeeds, a minute at most.
wait_for() {
    local n
    for n in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        [ -e "/proc/$(cat "$at/server.pid")" ] || break
        sleep 0.1
    done
    tail -n 20 "$at"/*.log >&2
    return 1
}

certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-root \
        -keyout "$at/ca.key" -out "$at/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kube-apiserver \
        -keyout "$at/server.key" -out "$at/server.csr" 2>/dev/null
    openssl x509 -req -days 30 -in "$at/server.csr" -CA "$at/ca.pem" -CAkey "$at/ca.key" -CAcreateserial \
        -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n') -out "$at/server.pem" 2>/dev/null
    openssl genrsa -out "$at/accounts.key" 2048 2>/dev/null
    printf 'admin-token,admin,admin,system:masters\ngateway-token,gateway,gateway\n' >"$at/tokens.csv"
    cat >"$at/kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$PORT", certificate-authority: "$at/ca.pem"}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
CONFIG
}

resume() {
    spawn server "$server" --bind-address 127.0.0.1 --secure-port "$PORT" --advertise-address 127.0.0.2 \
        --tls-cert-file "$at/server.pem" --tls-private-key-file "$at/server.key" --cert-dir "$at/certs" \
        --etcd-servers "http://127.0.0.1:$PORT_ETCD" --token-auth-file "$at/tokens.csv" --authorization-mode RBAC \
        --service-cluster-ip-range 127.96.0.0/16 --service-account-key-file "$at/accounts.key" \
        --service-account-signing-key-file "$at/accounts.key" --service-account-issuer "https://127.0.0.1:$PORT" \
        --disable-admission-plugins ServiceAccount --endpoint-reconciler-type none --profiling=false \
        --runtime-config discovery.k8s.io/v1beta1=false --enable-priority-and-fairness=false \
        --default-watch-cache-size "${WATCH_CACHE:-100}"
    wait_for k get --raw /readyz
}

start() {
    install >/dev/null
    mkdir -p "$at"
    # A relative path would mean another file in `kubeconfig`.
    at=$(cd "$at" && pwd)
    [ -f "$at/kubeconfig" ] || certificates
    spawn etcd etcd --data-dir "$at/etcd" --listen-client-urls "http://127.0.0.1:$PORT_ETCD" --unsafe-no-fsync \
        --advertise-client-urls "http://127.0.0.1:$PORT_ETCD" --listen-peer-urls "http://127.0.0.1:$PORT_PEER" \
        --initial-advertise-peer-urls "http://127.0.0.1:$PORT_PEER" --initial-cluster "default=http://127.0.0.1:$PORT_PEER"
    resume
    k apply -f "$here/k8s-endpointslice.yaml" >/dev/null
    k wait --for condition=established --timeout 30s crd/endpointslices.discovery.k8s.io >/dev/null
    wait_for k get namespace default
    printf '%s\n' "KUBECONFIG=$at/kubeconfig" "KUBECTL=$kubectl" "URL=https://127.0.0.1:$PORT" "CA=$at/ca.pem" TOKEN=admin-token >"$at/env"
}

# finish NAME: ends what was started under it, and nothing else that has its number now.
finish() {
    local pid
    pid=$(cat "$at/$1.pid" 2>/dev/null) || return 0
    rm -f "$at/$1.pid"
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in
        */etcd | */kube-apiserver*) kill "$pid" ;;
    esac
    for _ in $(seq 100); do
        readlink "/proc/$pid/exe" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

at=${2:-}
case ${1:-} in
    install) install ;;
    start) start || { finish server; finish etcd; exit 1; } ;;
    halt) finish server ;;
    resume) resume ;;
    stop) finish server; finish etcd ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

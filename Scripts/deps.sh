#!/bin/bash
# Installs the system packages that a purpose needs, and only those that are missing.
#
#     Scripts/deps.sh core | build | test | faults | valgrind | bench
#
# Says nothing and asks for nothing when all is there. It uses apt-get, as root or through sudo;
# on a system without apt-get it says what is missing.
set -euo pipefail

missing=()

# need PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# The C core alone.
need_core() {
    local compiler=${CC:-cc}
    need g++ command -v "${compiler%% *}" # with it come libc6-dev, libstdc++, binutils and gcc
    need pkg-config command -v pkg-config
    need libuv1-dev pkg-config --exists libuv
    need libnghttp2-dev pkg-config --exists libnghttp2
    need libsqlite3-dev pkg-config --exists sqlite3
    need libssl-dev pkg-config --exists openssl
    need zlib1g-dev pkg-config --exists zlib
}

case "${1:-}" in
core)
    need_core
    ;;
build)
    if ! command -v swift >/dev/null; then
        echo "deps: 'swift' is not in the PATH; Swift 6.3 or later is needed:" \
            "https://www.swift.org/install" >&2
        exit 1
    fi
    # The shared libraries of the toolchain itself, where it was unpacked onto a bare system.
    toolchain=$(dirname "$(readlink -f "$(command -v swift)")")
    absent=$(ldd "$toolchain/swift-package" 2>/dev/null | awk '/not found/ { print $1 }')
    has() { [[ $absent != *$1* ]]; }
    need libcurl4 has libcurl.so.4
    need libncurses6 has libncurses.so.6
    need libsqlite3-0 has libsqlite3.so.0
    need libxml2 has libxml2.so.2

    need git command -v git
    need libhiredis-dev pkg-config --exists hiredis
    need libzstd-dev pkg-config --exists libzstd
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    need g++ command -v g++
    need_core
    need python3 command -v python3
    ;;
test)
    # Daemons are in a folder that only root has in its PATH.
    PATH=$PATH:/usr/sbin:/sbin
    need avahi-daemon command -v avahi-daemon
    need avahi-utils command -v avahi-browse
    need curl command -v curl
    need dbus-daemon command -v dbus-daemon
    need etcd-server command -v etcd
    need nghttp2-client command -v nghttp
    need openssl command -v openssl
    need protobuf-compiler command -v protoc
    need redis-server command -v redis-server
    need zstd command -v zstd
    need python3-venv python3 -c 'import ensurepip, venv'
    ;;
faults)
    need etcd-server command -v etcd
    need iproute2 command -v ip
    need util-linux command -v taskset
    ;;
valgrind)
    need valgrind command -v valgrind
    need libc6-dbg test -d /usr/lib/debug/.build-id
    ;;
bench)
    # The load, the limits, and the peers.
    need make command -v make
    need nghttp2-client command -v h2load
    need nghttp2-server command -v nghttpd
    need h2o command -v h2o
    need openssl command -v openssl
    need valgrind command -v valgrind
    need protobuf-compiler command -v protoc
    need protobuf-compiler-grpc command -v grpc_cpp_plugin
    need libgrpc++-dev pkg-config --exists grpc++
    need libprotobuf-dev pkg-config --exists protobuf
    need libsimdjson-dev test -e /usr/include/simdjson.h
    need golang-go command -v go
    need golang-google-grpc-dev test -d /usr/share/gocode/src/google.golang.org/grpc
    need golang-goprotobuf-dev command -v protoc-gen-go
    ;;
*)
    echo "usage: $0 core | build | test | faults | valgrind | bench" >&2
    exit 2
    ;;
esac

((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "deps: please install what Debian calls: ${missing[*]}" >&2
    exit 1
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "deps: run this as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "deps: installing ${missing[*]}"
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
"${apt_get[@]}" update
"${apt_get[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null

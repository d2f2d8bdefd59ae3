#!/bin/sh
# Installs what the build needs and is missing: Debian packages, and ONNX Runtime's library file.
# Safe to run twice; when everything is there it touches nothing and needs no network.
#   tools/setup.sh            what `make quickstart` needs
#   tools/setup.sh develop    also what `make test` and the checks need
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
deps="$root/.deps"

build="gcc cmake ninja-build pkg-config libyaml-dev libjansson-dev libprotobuf-c-dev
    protobuf-c-compiler libonnx-dev coinor-libcbc-dev zlib1g-dev libexpat1-dev ca-certificates
    libmicrohttpd-dev libgnutls28-dev libcurl4-gnutls-dev libsqlite3-dev"
# oneDNN makes training fast; Debian has it for amd64 only, elsewhere the plain backend trains.
case $(dpkg --print-architecture) in amd64) build="$build libdnnl-dev" ;; esac
develop="clang clang-format clang-tidy libclang-rt-14-dev libcmocka-dev python3 strace libxml2-utils curl openssl wrk"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# ---- Debian packages ----
wanted=$build
if [ "${1:-}" = develop ]; then wanted="$wanted $develop"; fi
# npm only serves to fetch ONNX Runtime; Debian's package clashes with other vendors' nodejs.
missing=
for package in $wanted; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "missing:$missing (not root and no sudo: ask your administrator to install these)"; fi
}

install_packages() { # names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
        >"$deps/apt.log" 2>&1
}

mkdir -p "$deps"
if [ -n "$missing" ]; then
    say "installing$missing"
    # shellcheck disable=SC2086 # the list is meant to be split
    install_packages $missing || {
        as_root apt-get update >"$deps/apt.log" 2>&1 ||
            die "cannot install$missing: apt-get update failed (no network?); see $deps/apt.log"
        install_packages $missing ||
            die "cannot install$missing: $(grep -m1 '^E:' "$deps/apt.log" || echo "see $deps/apt.log")"
    }
fi

# ---- ONNX Runtime: the system's, else the library file of one npm package ----
# 1.29 and later send telemetry on Linux: do not move the pin past 1.28.
ort_version=1.27.0
ort_tgz_sha256=c3779c01c59832f8c03e2c392ac3af10bf08579f1822e8b1c63cc451edb302a2
case $(uname -m) in
    x86_64) ort_arch=x64 ort_sha256=d8aff4aa8abee8fb2abb2f2f2459ffc94461e781e41b9f7c072829dd0d470221 ;;
    aarch64) ort_arch=arm64 ort_sha256=c36bc200e7e6c093b8abb0b34590fbdd8c52fd3fb5e33795b9523ffdde2fce0f ;;
    *) ort_arch= ort_sha256= ;;
esac
ort="$deps/onnxruntime/libonnxruntime.so.1"

has() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

if ldconfig -p 2>/dev/null | grep -q 'libonnxruntime\.so'; then
    : # the system has it
elif ! has "$ort" "$ort_sha256"; then
    [ -n "$ort_arch" ] || die "missing: ONNX Runtime has no pinned library for $(uname -m); install libonnxruntime yourself"
    if ! command -v npm >/dev/null 2>&1; then
        say "installing npm"
        missing=" npm"
        install_packages npm || { as_root apt-get update >"$deps/apt.log" 2>&1 && install_packages npm; } ||
            die "missing: npm, needed once to fetch ONNX Runtime; see $deps/apt.log"
    fi
    say "fetching ONNX Runtime $ort_version (onnxruntime-node by npm pack, about 100 MB, once)"
    fetch="$deps/fetch"
    rm -rf "$fetch"
    mkdir -p "$fetch" "$deps/onnxruntime"
    # What npm writes (cache, logs) stays below .deps.
    (cd "$fetch" && npm pack "onnxruntime-node@$ort_version" --ignore-scripts \
        --cache "$fetch/cache" --loglevel error --no-update-notifier >/dev/null 2>"$deps/npm.log") ||
        die "missing: onnxruntime-node@$ort_version cannot be fetched by npm; see $deps/npm.log"
    tgz="$fetch/onnxruntime-node-$ort_version.tgz"
    has "$tgz" "$ort_tgz_sha256" || die "onnxruntime-node-$ort_version.tgz: sha256 is not $ort_tgz_sha256; refusing it"
    tar -xzf "$tgz" -C "$fetch" "package/bin/napi-v6/linux/$ort_arch/libonnxruntime.so.1"
    found="$fetch/package/bin/napi-v6/linux/$ort_arch/libonnxruntime.so.1"
    has "$found" "$ort_sha256" || die "libonnxruntime.so.1: sha256 is not $ort_sha256; refusing it"
    mv "$found" "$ort.new"
    mv "$ort.new" "$ort"
    rm -rf "$fetch"
fi

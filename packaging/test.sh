#!/usr/bin/env bash
# Builds the packages with `make dist`, and uses each package the way a user does. Each step prints its seconds.
# With --built it tests the packages that are in build/dist already.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.17
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
root=$PWD
out=$PWD/build/dist
tools=$PWD/build/packaging/venv/bin
unset PYTHONPATH PYTHONHOME
TMPDIR=$(tests/tmpdir)
export TMPDIR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# step NAME FUNCTION [ARGUMENT...]; not part of a condition, where `set -e` would not end the function.
step() {
    local begun=$SECONDS
    printf '\n=== %s\n' "$1"
    ("${@:2}")
    printf '=== %d s: %s\n' $((SECONDS - begun)) "$1"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# no_newer_glibc FILE: the library needs symbols of glibc, and none that glibc 2.17 lacks.
no_newer_glibc() {
    local newest allowed=GLIBC_$glibc
    newest=$(readelf --dyn-syms --wide "$1" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort --unique | tail -n 1)
    echo "$(basename "$1") needs $newest"
    [ -n "$newest" ] || fail "$1 needs no glibc"
    [ "$(printf '%s\n' "$newest" "$allowed" | sort --version-sort | tail -n 1)" = "$allowed" ] ||
        fail "$1 needs $newest"
}

# no_machine_path FILE: the library does not name the folders of the build.
no_machine_path() {
    if grep --text --fixed-strings --quiet -e "$root" -e "${CARGO_HOME:-$HOME/.cargo}/" "$1"; then
        fail "$1 names a folder of this machine"
    fi
}

checksums() {
    cd "$out"
    sha256sum --check --strict SHA256SUMS
    diff <(awk '{ print $2 }' SHA256SUMS) <(find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort) ||
        fail "SHA256SUMS does not list just the packages"
}

bills() {
    "$tools/python" packaging/check_sbom.py "$out"/*.cdx.json
}

# wheel ARCHITECTURE
wheel() {
    local file said
    file=$(echo "$out/chunked_upload-$version-cp311-abi3-"*"manylinux_${glibc/./_}_$1.whl")
    [ -f "$file" ] || fail "no wheel for $1"
    said=$("$tools/auditwheel" show "$file")
    echo "$said"
    tr '\n' ' ' <<<"$said" | grep -q "consistent with the following platform tag: \"manylinux_${glibc/./_}_$1\"" ||
        fail "auditwheel does not say manylinux_${glibc/./_}_$1"
    "$tools/python" -m zipfile --extract "$file" "$scratch/$1"
    no_newer_glibc "$scratch/$1/chunked_upload/_core.abi3.so"
    no_machine_path "$scratch/$1/chunked_upload/_core.abi3.so"
    for licence in LICENSE LICENSE-APACHE LICENSE-MIT; do
        cmp "$licence" "$scratch/$1/chunked_upload-$version.dist-info/licenses/$licence"
    done
    cmp "$out/chunked_upload-$version-$1.cdx.json" "$scratch/$1/chunked_upload-$version.dist-info/sboms/"*
}

# round_trip NAME PACKAGE: in a new venv, without an index.
round_trip() {
    "${PYTHON:-python3}" -m venv "$scratch/venv-$1"
    "$scratch/venv-$1/bin/pip" install --quiet --no-index "$2"
    (cd / && "$scratch/venv-$1/bin/python" "$root/packaging/round_trip.py" "$scratch/venv-$1")
}

x86_wheel() {
    wheel x86_64
    round_trip wheel "$out"/*_x86_64.whl
}

arm_wheel() {
    wheel aarch64
    readelf --file-header "$scratch/aarch64/chunked_upload/_core.abi3.so" | grep 'Machine: *AArch64'
}

sdist() {
    local file=$out/chunked_upload-$version.tar.gz
    tar -tzf "$file" >"$scratch/sdist"
    for needed in LICENSE LICENSE-APACHE LICENSE-MIT Cargo.lock src/lib.rs bindings/python/src/lib.rs pyproject.toml; do
        grep -q "^chunked_upload-$version/$needed\$" "$scratch/sdist" || fail "the sdist lacks $needed"
    done
    if grep -E '/(tests|fuzz|bindings/(c|gws))/' "$scratch/sdist"; then fail "the sdist has needless files"; fi
    # Offline, unlike `pip install`: with the installed maturin, and with the crates that cargo has already.
    PATH=$tools:$PATH CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$scratch/target "$tools/pip" wheel --quiet \
        --no-build-isolation --no-deps --no-index --wheel-dir "$scratch/wheels" "$file"
    ls "$scratch/wheels"
    round_trip sdist "$scratch/wheels"/*.whl
}

c_library() {
    local name=chunked-upload-c-$version-x86_64-linux-gnu
    tar -xzf "$out/$name.tar.gz" -C "$scratch"
    local files=$scratch/$name program=$scratch/program
    diff <(cd "$files" && find . ! -type d -printf '%P\n' | LC_ALL=C sort) - <<END
CHANGELOG.md
LICENSE
LICENSE-APACHE
LICENSE-MIT
README.md
include/chunked_upload.h
include/chunked_upload.hpp
lib/cmake/chunked_upload/chunked_upload-config-version.cmake
lib/cmake/chunked_upload/chunked_upload-config.cmake
lib/libchunked_upload.a
lib/libchunked_upload.so
lib/libchunked_upload.so.0
lib/libchunked_upload.so.$version
lib/pkgconfig/chunked_upload.pc
share/chunked_upload/abi.json
END
    no_newer_glibc "$files/lib/libchunked_upload.so"
    no_machine_path "$files/lib/libchunked_upload.so"
    no_machine_path "$files/lib/libchunked_upload.a"
    export PKG_CONFIG_LIBDIR=$files/lib/pkgconfig PATH=$tools:$PATH
    [ "$(pkg-config --modversion chunked_upload)" = "$version" ] || fail "pkg-config names another version"
    local flags static
    read -ra flags <<<"$(pkg-config --cflags --libs chunked_upload)"
    read -ra static <<<"$(pkg-config --cflags --libs --static chunked_upload)"
    static=("${static[@]/#-lchunked_upload/-l:libchunked_upload.a}")
    for compile in "${CC:-cc} tests/consumer/main.c" "${CXX:-c++} -std=c++17 tests/consumer/main.cpp"; do
        $compile "${flags[@]}" -o "$program"
        if "$program" "$scratch/uploads" 2>/dev/null; then fail "a library outside the archive was loaded"; fi
        LD_LIBRARY_PATH=$files/lib "$program" "$scratch/uploads" || fail "$compile, shared"
        $compile "${static[@]}" -o "$program"
        "$program" "$scratch/uploads" || fail "$compile, static"
        echo "$compile: built and run, shared and static"
    done
}

[ "${1-}" = --built ] || step "make dist" make --no-print-directory dist
step "checksums" checksums
step "bills of materials" bills
step "wheel for x86-64" x86_wheel
if [ -e "$out/chunked_upload-$version-aarch64.cdx.json" ]; then
    step "wheel for aarch64" arm_wheel
    if [ "$(id -u)" = 0 ] && type debootstrap qemu-aarch64 >/dev/null 2>&1; then
        step "wheel for aarch64, used" packaging/arm64.sh "$out"/*_aarch64.whl
    else
        echo "NOT TESTED: using the wheel for aarch64, which needs root, debootstrap and qemu-user"
    fi
else
    echo "NOT TESTED: the wheel for aarch64, which was not built"
fi
step "sdist" sdist
step "C library" c_library
printf '\n=== %d s in all\n' $SECONDS

#!/usr/bin/env bash
# Builds the packages of a release into build/dist. `make dist` runs this; packaging/README.md describes the packages.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.17
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
work=$PWD/build/packaging
out=$PWD/build/dist
x86=x86_64-unknown-linux-gnu
arm=aarch64-unknown-linux-gnu

# The same sources and tools give the same bytes: no time of the build, no path of the machine.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
RUSTFLAGS="${RUSTFLAGS-} --remap-path-prefix=$PWD=/chunked-upload"
RUSTFLAGS+=" --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
# A folder of its own: Zig links here, and must not link what tests and benches use.
CARGO_TARGET_DIR=$work/target
export SOURCE_DATE_EPOCH RUSTFLAGS CARGO_TARGET_DIR
umask 022

tools() {
    if [ ! "$work/venv/.made" -nt packaging/requirements.txt ]; then
        "${PYTHON:-python3}" -m venv --clear "$work/venv"
        "$work/venv/bin/pip" install --quiet -r packaging/requirements.txt
        touch "$work/venv/.made"
    fi
    export PATH=$work/venv/bin:$PATH
}

sdist() {
    maturin sdist -m bindings/python/Cargo.toml -o "$out"
    rm -rf "$work/source"
    mkdir "$work/source"
    # --touch: the sdist has fixed times, by which cargo would take changed sources for built ones.
    tar -xf "$out/chunked_upload-$version.tar.gz" -C "$work/source" --strip-components=1 --touch
}

# wheel TARGET: from the sdist, so that the wheel has what the sdist has, licences included.
wheel() {
    local bill=$out/chunked_upload-$version-${1%%-*}.cdx.json
    python packaging/sbom.py chunked-upload-python "$1" "$bill"
    maturin build --quiet --release --zig --compatibility manylinux_${glibc/./_} --target "$1" \
        -m "$work/source/bindings/python/Cargo.toml" -i "$work/venv/bin/python" --sbom-include "$bill" -o "$out"
}

c_library() {
    local name=chunked-upload-c-$version-x86_64-linux-gnu
    cargo zigbuild --quiet --release --locked --package chunked-upload-c --target $x86.$glibc
    rm -rf "$work/c"
    mkdir -p "$work/c/$name"
    export CARGO_BUILD_TARGET=$x86
    make --no-print-directory --silent "$CARGO_TARGET_DIR/$x86/release/static/libchunked_upload.a"
    make --no-print-directory --silent install PREFIX=/usr LIBDIR= DESTDIR="$work/c/stage"
    mv "$work/c/stage/usr"/* "$work/c/$name"
    install -m 644 packaging/c/README.md LICENSE LICENSE-APACHE LICENSE-MIT CHANGELOG.md "$work/c/$name"
    python packaging/sbom.py chunked-upload-c $x86 "$out/$name.cdx.json"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --directory "$work/c" "$name" | gzip --no-name -9 >"$out/$name.tar.gz"
}

rm -rf "$out"
mkdir -p "$out" "$work"
tools
sdist
wheel $x86
# The sdist lacks the C library, so cargo removes its crates from the lock file. Other crates must not have changed.
if grep '^checksum = ' "$work/source/Cargo.lock" | grep --invert-match --fixed-strings --file=Cargo.lock; then
    echo "the wheel was built with crates that Cargo.lock does not name" >&2
    exit 1
fi
if [ -d "$(rustc --print target-libdir --target $arm)" ]; then
    wheel $arm
else
    echo "NOT BUILT: the wheel for aarch64, which needs: rustup target add $arm" >&2
fi
c_library
(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
ls -l "$out"

#!/usr/bin/env bash
# Runs the core of the engine's tests twice more: as on a kernel before 6.8, which tells no unique mount id, and where
# sysfs is not to be seen either. See docs/kernels.md.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
core=$(printf '%s:: ' table steps moving trust integrity costs refused vectors mounts resume volumes)

mkdir -p "$target"
${CC:-cc} -shared -fPIC -O1 -o "$target/hidden.so" tests/shim/hidden.c
for hidden in mount-id sysfs; do
    echo "hidden from the tests: $hidden"
    under="['env','LD_PRELOAD=$target/hidden.so','UPLOAD_HIDE=$hidden']"
    "$cargo" test --locked --config "target.'cfg(all())'.runner=$under" -p chunked-upload --features test-hooks \
        --test protocol --test crashes --test access -- $core
done

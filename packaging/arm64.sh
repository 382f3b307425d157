#!/usr/bin/env bash
# Receives a file with the aarch64 WHEEL on another processor: with Debian 12's Python 3.11 for arm64, under QEMU. Needs
# root, debootstrap and qemu-user. Keeps the files of Debian in build/packaging/arm64.
set -euo pipefail
wheel=$(realpath "$1")
cd "$(dirname "$0")/.."

root=$PWD/build/packaging/arm64
package=$PWD/build/packaging/arm64-package

if [ ! -e "$root.made" ]; then
    rm -rf "$root"
    # The first stage downloads the packages. Python runs from unpacked packages, so the second stage is not needed.
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3-minimal,libpython3-stdlib bookworm "$root" \
        >"$root.log" || { cat "$root.log"; exit 1; } >&2
    for deb in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$deb" "$root"
    done
    rm -r "$root/var/cache/apt/archives"
    touch "$root.made"
fi
rm -rf "$package"
python3 -m zipfile --extract "$wheel" "$package"
PYTHONPATH=$package qemu-aarch64 -L "$root" "$root/usr/bin/python3.11" packaging/round_trip.py "$package"

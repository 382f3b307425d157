#!/usr/bin/env bash
# Runs the engine's tests and the C programs under older kernels, each in a virtual machine without KVM:
#     tests/kernels.sh [DEBIAN-RELEASE...]     the kernels of bookworm (6.1) and bullseye (5.10), if none is named
# Needs Debian, and root where packages are missing. The packages come from the mirror that apt uses, or from MIRROR.
# Userland and kernels stay in build/kernels. The tests that are left out are printed. ONLY="volumes trust" runs these
# files of tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo} dir=$PWD/build/kernels
userland=bookworm
releases=${*:-bookworm bullseye}
modules="virtio_pci virtio_blk ext4 loop xfs btrfs f2fs overlay crc32c_generic crc32c_intel"
# Minutes without KVM, and little in them that depends on the kernel's age. ONLY=thin_disk runs those of a file.
left_out="crash_points:: power_loss:: power_cuts:: handover:: shutdown:: model:: hostile:: forks:: races:: budget::
    steps:: integrity:: every_call:: verdict:: write_back:: planted:: thin_disk:: thin_uploads::
    whatever_was_sent_before after_kills one_place_for_two_chunks between_many_small_ones"
# No kernel here has FUSE.
skipped=on_fuse
[ -n "${ONLY:-}" ] || skipped+=" $left_out"

# Whatever the mirror is, the releases are signed.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -1
}

install_tools() {
    local missing=()
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v busybox >/dev/null || missing+=(busybox-static)
    command -v depmod >/dev/null || missing+=(kmod)
    command -v cpio >/dev/null || missing+=(cpio)
    [ ${#missing[@]} = 0 ] || { apt-get update -q && apt-get install -q --yes --no-install-recommends "${missing[@]}"; }
}

# make_userland: a small Debian on an ext4 image.
make_userland() {
    [ ! -e "$dir/root.img" ] || return 0
    rm -rf "$dir/root"
    debootstrap --variant=minbase --include=e2fsprogs,xfsprogs,btrfs-progs,f2fs-tools,mount,util-linux \
        "$userland" "$dir/root" "$MIRROR" >"$dir/debootstrap.log" || { tail "$dir/debootstrap.log" >&2; return 1; }
    rm -rf "$dir/root/var/cache/apt/archives" "$dir/root/var/lib/apt/lists"
    mkdir -p "$dir/root/data" "$dir/root/scratch"
    mke2fs -q -t ext4 -d "$dir/root" "$dir/root.new" 1G
    mv "$dir/root.new" "$dir/root.img"
    rm -rf "$dir/root"
}

# get_kernel RELEASE: its vmlinuz, and an initrd that mounts the disks and runs /data/run.
get_kernel() {
    [ ! -e "$dir/$1/initrd" ] || return 0
    local tree apt package version number=100
    tree=$(mktemp -d -p "$dir")
    mkdir -p "$tree"/apt/{lists,cache/archives,etc}/partial "$tree"/i/{bin,m,proc,sys,dev,root} "$dir/$1"
    echo "deb $MIRROR $1 main" >"$tree/apt/etc/list"
    apt=(-q -o "Dir::State::Lists=$tree/apt/lists" -o "Dir::Cache=$tree/apt/cache" -o APT::Sandbox::User=root
        -o "Dir::Etc::SourceList=$tree/apt/etc/list" -o Dir::Etc::SourceParts=/dev/null)
    apt-get "${apt[@]}" update >&2
    package=$(apt-cache "${apt[@]}" depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
    (cd "$tree" && apt-get "${apt[@]}" download "$package" >&2)
    dpkg-deb -x "$tree/$package"_*.deb "$tree/deb"
    version=${package#linux-image-}
    depmod -b "$tree/deb" "$version"
    for module in $modules; do
        modprobe -d "$tree/deb" -S "$version" --show-depends "$module" 2>/dev/null || true
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
        number=$((number + 1))
        case $file in
        *.xz) xz -dc "$file" >"$tree/i/m/$number-$(basename "${file%.xz}")" ;;
        *) cp "$file" "$tree/i/m/$number-$(basename "$file")" ;;
        esac
    done
    cp "$(command -v busybox)" "$tree/i/bin/busybox"
    cat >"$tree/i/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /m/*; do insmod $module 2>/dev/null; done
mount -t ext4 /dev/vda /root && mount -t ext4 -o ro /dev/vdb /root/data && mount -t ext4 /dev/vdc /root/scratch || poweroff -f
for place in proc sys dev; do mount --move /$place /root/$place; done
mkdir -p /root/dev/pts; mount -t devpts devpts /root/dev/pts
mount -t tmpfs run /root/run; mount -t tmpfs -o mode=1777 tmp /root/tmp
mkdir -p /root/dev/shm; mount -t tmpfs -o mode=1777 shm /root/dev/shm
cp /bin/busybox /root/run/busybox
cat >/root/run/first <<'FIRST'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C TMPDIR=/scratch
sh /data/run; echo "STATUS $?"
sync; exec /run/busybox poweroff -f
FIRST
exec switch_root /root /bin/sh /run/first
INIT
    chmod +x "$tree/i/init"
    cp "$tree/deb/boot/vmlinuz-$version" "$dir/$1/vmlinuz"
    (cd "$tree/i" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/$1/initrd"
    rm -rf "$tree"
}

# gather: the compiled tests, stripped, the C programs, and what runs them, in one folder.
gather() {
    rm -rf "$dir/data" && mkdir -p "$dir/data/tests" "$dir/data/c" "$dir/data/tree"
    "$cargo" test --locked -p chunked-upload --features test-hooks --no-run --message-format=json |
        python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])
' | while read -r name file; do
        [ "$name" != house ] || continue
        objcopy --strip-debug "$file" "$dir/data/tests/$(basename "$file")"
    done
    "$cargo" build --locked -p chunked-upload-c
    local library=${CARGO_TARGET_DIR:-target}/debug/libchunked_upload.so program
    objcopy --strip-debug "$library" "$dir/data/c/$(readelf -dW "$library" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
    for program in tests/c/*.c; do
        program=$(basename "$program" .c)
        case $program in replay | faulty) continue ;; esac
        ${CC:-cc} -std=c11 -pthread -Iinclude "tests/c/$program.c" -o "$dir/data/c/$program" "$library"
    done
    ${CC:-cc} -shared -fPIC -O1 -o "$dir/data/faults.so" tests/shim/faults.c
    # The tests look for their files where they were compiled.
    cp -r tests src "$dir/data/tree"
    cat >"$dir/data/run" <<RUN
echo \$(uname -r), file systems: \$(grep -v nodev /proc/filesystems)
mkdir -p "$(dirname "$PWD")" && ln -s /data/tree "$PWD"
# Like /tmp: tests change to other users.
chmod 1777 /scratch
failed=
start() {
    timeout 1200 "\$@" >/run/said 2>&1 </dev/null && return
    echo "FAILED under \$(uname -r): \$*"; cat /run/said; failed=1
}
begun() { echo "\$(cut -d. -f1 /proc/uptime) s: \$1"; }
export UPLOAD_SKIP_NOTHING=1 UPLOAD_SHIM=/data/faults.so LD_LIBRARY_PATH=/data/c
for test in /data/tests/*; do
    begun "\$test"
    start "\$test" $(printf -- '--skip %s ' $skipped) ${ONLY:+$(printf -- '%s:: ' $ONLY)}
done
for program in /data/c/*; do
    case \$program in *.so*) continue ;; esac
    begun "\$program"
    mkdir -p /scratch/c && cd /scratch/c && start "\$program" /scratch/c
    cd / && rm -rf /scratch/c
done
begun "the end"
[ -z "\$failed" ]
RUN
}

# boot RELEASE: runs it all under this kernel.
boot() {
    local tmp status
    tmp=$(mktemp -d -p "$dir")
    mke2fs -q -t ext4 -d "$dir/data" "$tmp/data.img" $(($(du -sm "$dir/data" | cut -f1) * 5 / 4 + 32))M
    mke2fs -q -t ext4 "$tmp/scratch.img" 4G
    disk() { echo "if=virtio,format=raw,cache=unsafe,file=$1"; }
    timeout --foreground 2400 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nographic -no-reboot \
        -nic none -kernel "$dir/$1/vmlinuz" -initrd "$dir/$1/initrd" -append "console=ttyS0 loglevel=1 panic=-1" \
        -drive "$(disk "$dir/root.img"),snapshot=on" -drive "$(disk "$tmp/data.img"),readonly=on" \
        -drive "$(disk "$tmp/scratch.img")" </dev/null | stdbuf -o0 tr -d '\r' | tee "$tmp/console"
    status=$(sed -n 's/^STATUS //p' "$tmp/console")
    rm -rf "$tmp"
    [ "$status" = 0 ] || { echo "$0: the kernel of $1: ${status:-it did not come to an end}" >&2; return 1; }
}

mkdir -p "$dir"
install_tools
: "${MIRROR:=$(mirror)}" "${MIRROR:?names a Debian mirror: apt here has none}"
make_userland
for release in $releases; do get_kernel "$release"; done
gather
echo "left out under older kernels:" $skipped
for release in $releases; do boot "$release"; done

#!/usr/bin/env bash
# Runs the README's first commands on a bare Debian, as an ordinary user, in a clone of the last commit. That Debian has
# only the programs that the README asks for, so a test that needs another one fails here.
#     tests/bare.sh [DIRECTORY]    makes the Debian there, or in the temporary directory, and removes it at the end
# Needs root, debootstrap, git, and a Rust toolchain as rustup installs it. The Debian gets this toolchain, the crates
# that were downloaded, and the settings for registries, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/bare.XXXXXX")
debian=$base/debian
# debootstrap mounts these two, and leaves them when it is killed.
trap 'umount -q "$debian/proc" "$debian/sys" || true; rm -rf --one-file-system "$base"' EXIT
# Long programs run in the background below: bash handles a signal only after the program in the foreground ends.
# KILL, since unshare blocks the other signals.
trap 'kill -KILL $(jobs -p) || true; wait; exit 143' TERM INT

# Debian 12 is the oldest with Python 3.11. This machine's own mirror is used, if it has one.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1 || true)
debootstrap --variant=minbase --include=gcc,g++,make,python3,python3-venv bookworm "$debian" $mirror >"$base/log" 2>&1 &
wait $! || { cat "$base/log" "$debian/debootstrap/debootstrap.log"; exit 1; } >&2

# The settings for registries, and the files that they name.
reach='^([a-z]+_proxy|pip_[a-z_]+|cargo_(http|net|registr|source)[a-z_]*|ssl_cert_[a-z]+|[a-z_]+_ca_bundle)='
mapfile -t settings < <(env | grep -iE "$reach")
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt "${settings[@]#*=}"; do
    [ ! -f "$file" ] || install -D --mode=644 "$file" "$debian/$file"
done
home=$debian/home/user cargo_home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$home/.cargo/registry" "$home/.config"
for kept in index cache; do
    [ ! -d "$cargo_home/registry/$kept" ] || cp -r "$cargo_home/registry/$kept" "$home/.cargo/registry"
done
[ ! -f "$cargo_home/config.toml" ] || cp "$cargo_home/config.toml" "$home/.cargo"
[ ! -d ~/.config/pip ] || cp -r ~/.config/pip "$home/.config"
git clone --quiet --no-hardlinks . "$home/clone"
chroot "$debian" useradd user
chroot "$debian" chown -R user:user /home/user

commands=$(awk '/^```sh/ { inside = 1; next } /^```/ && inside { exit } inside' README.md)
grep -q '^make test' <<<"$commands"
cat >"$debian/commands" <<END
cd ~/clone
$(while read -r command; do printf 'echo %q\ntime %s\n' "\$ $command" "$command"; done <<<"$commands")
END

# The mount namespace drops this machine's mounts at once. Otherwise tests that run meanwhile could not unmount theirs.
mkdir "$debian/rust" "$debian/outside"
unshare --mount --pid --fork --kill-child bash -euc '
    mount --bind "$1" "$1"
    cd "$1"
    mount --bind -o ro "$2" rust
    mount -t proc proc proc
    mount -t sysfs -o ro sys sys
    mount -t devpts devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    pivot_root . outside
    umount --lazy outside
    # Without exec: a process that becomes another user no longer ends with its parent.
    chroot --userspec=user:user / env -i HOME=/home/user PATH=/rust/bin:/usr/bin:/bin "${@:3}" bash -e /commands || exit
' bash "$debian" "$(rustc --print sysroot)" "${settings[@]}" 2>&1 | tee "$base/said" &
wait %%
# An ordinary user cannot mount, and `make test` says so.
grep -q '^    access: file_systems::on_ext4: ' "$base/said"
grep -q '^    programs: c_programs_as_c: storage.c: ' "$base/said"

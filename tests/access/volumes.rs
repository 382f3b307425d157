//! The volume of a file, as the kernel itself tells it, without a tag from a test. Unsynced bytes are trusted through
//! every view of one volume, and never after the volume was gone, or on another volume. On ext4, xfs, btrfs, f2fs where
//! the kernel has it, tmpfs and overlayfs. Skipped, with a message, where these cannot be made or mounted.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::RwLock;
use std::time::Duration;

use crate::common::{Image, Memory, Overlay, bytes, entries, in_child, send, steps, succeeds, unmount};
use chunked_upload::{Chunk, Error, ErrorKind, Options, Store, test_hooks};

/// Whether the kernel shows a superblock's node in sysfs. `UPLOAD_HIDE=sysfs` hides it: see tests/hidden.sh.
fn superblocks_are_told() -> bool {
    Path::new("/sys/fs").exists() && std::env::var_os("UPLOAD_HIDE").is_none_or(|hidden| hidden != "sysfs")
}

/// Whether all mounts of a volume have one tag. Where the kernel tells neither superblocks nor mounts, the tag is the
/// boot's, for files whose inodes have been in memory all the time.
fn mounts_share() -> bool {
    superblocks_are_told() || !mounts_are_told()
}

/// Whether the kernel tells a mount's unique id (Linux 6.8).
fn mounts_are_told() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 8) && std::env::var_os("UPLOAD_HIDE").is_none()
}

/// The file systems on a block device.
fn kinds() -> Vec<&'static str> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap();
    let has_f2fs = known.lines().any(|line| line.trim() == "f2fs") && succeeds("mkfs.f2fs", &["-V"]);
    ["ext4", "xfs", "btrfs"].into_iter().chain(has_f2fs.then_some("f2fs")).collect()
}

fn open(place: &Path) -> Store {
    Store::open(place.join("uploads"), Options { min_free_space: 0, ..Options::default() }).unwrap()
}

const CHUNKS: usize = 4;

/// A finished upload of four chunks, not synced.
fn upload(store: &Store) -> String {
    let (file, mut uid) = (bytes(CHUNKS * 100), String::new());
    for number in 0..CHUNKS as u64 {
        uid = send(store, &uid, &file, 100, number).unwrap().upload_uid.to_string();
    }
    store.get(&uid).unwrap();
    uid
}

/// How many chunks `get` reads before it trusts them: all or none.
fn read_by_get(store: &Store, uid: &str) -> usize {
    let reached = steps(|| {
        let finished = store.get(uid).unwrap();
        assert_eq!(std::fs::read(finished.path).unwrap(), bytes(CHUNKS * 100));
    });
    reached.into_iter().filter(|step| *step == "check:passed").count()
}

/// Whether the upload is trusted, through the handle that made it and through a new one at `place`.
fn is_believed(made_by: &Store, place: &Path, uid: &str) -> bool {
    let [new, old] = [&open(place), made_by].map(|store| read_by_get(store, uid));
    assert!(
        new == old && [0, CHUNKS].contains(&new),
        "{new} chunks read through a new handle, {old} through the old one"
    );
    new == 0
}

/// A mount of a test's own.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn with(arguments: &[&str]) -> Option<Mounted> {
        let place = tempfile::tempdir().unwrap();
        let arguments = [arguments, &[place.path().to_str().unwrap()]].concat();
        if succeeds("mount", &arguments) {
            return Some(Mounted(place));
        }
        crate::common::skip(&format!("mount {arguments:?} is not possible here"));
        None
    }

    fn bind(path: &Path) -> Option<Mounted> {
        Mounted::with(&["--bind", path.to_str().unwrap()])
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.path());
    }
}

/// A child with its own mount namespace keeps the volumes of all tests mounted while it lives.
static MOUNTS: RwLock<()> = RwLock::new(());

fn came_back(image: &Image) -> bool {
    let _no_child_holds_it = MOUNTS.read().unwrap();
    image.unmount() && image.mount()
}

fn in_own_mounts(call: impl FnOnce()) -> ExitStatus {
    let _alone = MOUNTS.write().unwrap();
    let status = in_child(call);
    // The kernel releases the child's mounts a moment after its end.
    std::thread::sleep(Duration::from_millis(100));
    status
}

/// Makes the call in a child with its own mount namespace.
fn in_other_mounts(call: impl FnOnce()) {
    let status = in_own_mounts(|| {
        // SAFETY: no pointers are passed.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", std::io::Error::last_os_error());
        call();
    });
    assert!(status.success());
}

#[test]
fn a_volume_that_came_back_is_another() {
    for kind in kinds() {
        let Some(image) = Image::make(kind) else { continue };
        // The handle stays: it was opened when the volume was mounted for the first time.
        let store = open(&image.mountpoint());
        for round in 0..12 {
            let uid = upload(&store);
            assert_eq!(read_by_get(&store, &uid), 0, "{kind}");
            assert!(came_back(&image));
            assert_eq!(
                read_by_get(&store, &uid),
                CHUNKS,
                "{kind}, {round}: the same loop device, and a new page cache"
            );
            assert_eq!(read_by_get(&open(&image.mountpoint()), &uid), 0, "where that is told, it was synced then");
        }
        // Damage that was done while the volume was unmounted is found.
        let uid = upload(&store);
        assert!(came_back(&image));
        let path = image.mountpoint().join("uploads").join(&uid).join("file");
        let mut file = std::fs::read(&path).unwrap();
        file[150] ^= 1;
        std::fs::write(&path, file).unwrap();
        assert!(matches!(store.get(&uid), Err(Error::Incomplete { missing_count: 1, first_missing: 1, .. })));
    }
}

/// No number of a volume comes twice: neither sysfs nor the mount ids begin again.
#[test]
fn no_tag_comes_twice() {
    for kind in kinds() {
        let Some(image) = Image::make(kind) else { continue };
        let rounds = 20 * crate::common::rounds() as usize;
        let mut tags: Vec<Vec<u8>> = Vec::new();
        for _ in 0..rounds {
            let store = open(&image.mountpoint());
            let uid = send(&store, "", b"ab", 1, 0).unwrap().upload_uid.to_string();
            // The tag in the stage's record: see docs/design.md.
            tags.push(std::fs::read(store.root().join(uid).join("state")).unwrap()[84..88].to_vec());
            assert!(came_back(&image));
        }
        tags.sort();
        tags.dedup();
        let told = superblocks_are_told() || mounts_are_told();
        assert_eq!(tags.len(), if told { rounds } else { 1 }, "{kind}");
    }
}

#[test]
fn a_volume_that_was_shut_down_and_came_back_is_another() {
    /// EXT4_IOC_SHUTDOWN from Linux `include/uapi/linux/ext4.h`, which is XFS_IOC_GOINGDOWN. 0: write everything out
    /// first.
    const SHUTDOWN: libc::Ioctl = 0x8004_587d;
    for kind in ["ext4", "xfs"] {
        let Some(image) = Image::make(kind) else { continue };
        let store = open(&image.mountpoint());
        let uid = upload(&store);
        let root = std::fs::File::open(image.mountpoint()).unwrap();
        // SAFETY: the call reads four bytes.
        assert_eq!(unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &0_u32) }, 0);
        drop(root);
        assert!(came_back(&image));
        assert_eq!(read_by_get(&store, &uid), CHUNKS, "{kind}");
    }
}

#[test]
fn every_view_of_a_volume_shares_what_was_not_synced() {
    for kind in kinds() {
        let Some(image) = Image::make(kind) else { continue };
        let place = image.mountpoint();
        let store = open(&place);
        // A bind mount, like a container's volume.
        let uid = upload(&store);
        let Some(bound) = Mounted::bind(&place) else { return };
        assert_eq!(read_by_get(&open(bound.path()), &uid) == 0, mounts_share(), "{kind}, bound");
        // Another mount namespace, as in a container.
        let uid = upload(&store);
        in_other_mounts(|| assert_eq!(is_believed(&store, &place, &uid), mounts_share()));
        // Read-only, and writable again.
        let uid = upload(&store);
        for mode in ["remount,ro", "remount,rw"] {
            // A process that another test has forked may have a file open for writing.
            let path = place.to_str().unwrap();
            assert!((0..50).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                succeeds("mount", &["-o", mode, path])
            }));
        }
        assert_eq!(read_by_get(&store, &uid), 0, "{kind}, remounted");
        // Unmounted while a file is open, and mounted again: it is still the same volume.
        let uid = upload(&store);
        let open_file = std::fs::File::open(store.root().join(&uid).join("state")).unwrap();
        drop(bound);
        let device = device_of(&place);
        let path = place.to_str().unwrap();
        assert!(succeeds("umount", &["-l", path]) && succeeds("mount", &[&device, path]), "{kind}");
        assert_eq!(read_by_get(&store, &uid) == 0, mounts_share(), "{kind}, unmounted lazily");
        drop(open_file);
    }
}

/// The device that is mounted there.
fn device_of(place: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == place.to_str()).unwrap();
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn subvolumes_of_a_btrfs_share_it() {
    let Some(image) = Image::make("btrfs") else { return };
    let below = image.mountpoint().join("sub");
    assert!(succeeds("btrfs", &["subvolume", "create", below.to_str().unwrap()]));
    let device = device_of(&image.mountpoint());
    let Some(sub) = Mounted::with(&["-o", "subvol=sub", &device]) else { return };
    // Two device numbers, one page cache.
    assert_ne!(sub.path().metadata().unwrap().dev(), image.mountpoint().metadata().unwrap().dev());
    let store = open(sub.path());
    let uid = upload(&store);
    assert_eq!(read_by_get(&open(&below), &uid) == 0, mounts_share());
    let uid = upload(&store);
    assert_eq!(read_by_get(&store, &uid), 0);
}

/// A container that mounts its own sysfs, in its own user, network and mount namespace, sees the same nodes. A
/// container without sysfs reads the bytes that it did not write.
#[test]
fn in_containers() {
    const CANNOT: i32 = 77;
    let mount = |kind: &std::ffi::CStr, place: &std::ffi::CStr, flags| {
        // SAFETY: both strings are NUL-terminated; no data is passed.
        unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) == 0 }
    };
    let contained = |namespaces, call: &dyn Fn()| {
        in_own_mounts(|| {
            let (user, group) = (b"0 0 1", b"0 0 1");
            // SAFETY: no pointers are passed.
            let apart = unsafe { libc::unshare(namespaces) == 0 };
            let mapped = namespaces & libc::CLONE_NEWUSER == 0
                || std::fs::write("/proc/self/uid_map", user)
                    .and_then(|()| std::fs::write("/proc/self/setgroups", "deny"))
                    .and_then(|()| std::fs::write("/proc/self/gid_map", group))
                    .is_ok();
            // These mounts must not appear outside.
            if !(apart && mapped && mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)) {
                // SAFETY: ends this process without running anything.
                unsafe { libc::_exit(CANNOT) };
            }
            call();
        })
    };
    for kind in kinds() {
        let Some(image) = Image::make(kind) else { continue };
        let place = image.mountpoint();
        let store = open(&place);
        let uid = upload(&store);
        let own_sysfs = contained(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS, &|| {
            assert!(mount(c"sysfs", c"/sys", 0));
            assert_eq!(read_by_get(&open(&place), &uid) == 0, mounts_share(), "{kind}");
        });
        let no_sysfs = contained(libc::CLONE_NEWNS, &|| {
            assert!(mount(c"tmpfs", c"/sys", 0));
            let uid = upload(&store);
            assert_eq!(read_by_get(&open(&place), &uid), 0, "{kind}");
            let carried = place.join("made in the container");
            std::fs::write(carried, upload(&open(&place))).unwrap();
        });
        if [own_sysfs, no_sysfs].iter().any(|status| status.code() == Some(CANNOT)) {
            crate::common::skip("no namespaces can be made here");
            return;
        }
        assert!(own_sysfs.success() && no_sysfs.success(), "{kind}");
        let uid = std::fs::read_to_string(place.join("made in the container")).unwrap();
        let told = superblocks_are_told() || mounts_are_told();
        assert_eq!(read_by_get(&store, &uid), if told { CHUNKS } else { 0 }, "{kind}");
    }
}

/// Two volumes at once. An upload is moved from one to the other.
#[test]
fn another_volume_is_another() {
    for kind in kinds() {
        let (Some(one), Some(two)) = (Image::make(kind), Image::make(kind)) else { continue };
        let [here, there] = [&one, &two].map(|image| open(&image.mountpoint()));
        upload(&there);
        let uid = upload(&here);
        crate::common::copy_directory(&here.root().join(&uid), &there.root().join(&uid));
        assert_eq!(read_by_get(&there, &uid), CHUNKS, "{kind}");
        // The disk on which the store was when its handle was opened has another volume by now.
        let uid = upload(&here);
        crate::common::copy_directory(&here.root().join(&uid), &there.root().join(&uid));
        let _no_child_holds_them = MOUNTS.read().unwrap();
        assert!(one.unmount() && two.unmount());
        assert!(succeeds("mount", &["-o", "loop", two.file().to_str().unwrap(), one.mountpoint().to_str().unwrap()]));
        assert_eq!(read_by_get(&here, &uid), CHUNKS, "{kind}");
    }
}

/// A tmpfs is known by its device number. Another tmpfs may get the number, but none of its files.
#[test]
fn on_tmpfs_the_device_tells() {
    let Some(memory) = Memory::mount("size=8m") else { return };
    let store = open(memory.path());
    let uid = upload(&store);
    let Some(bound) = Mounted::bind(memory.path()) else { return };
    assert!(is_believed(&store, bound.path(), &uid));
    in_other_mounts(|| assert!(is_believed(&store, memory.path(), &uid)));
    drop(bound);
    let device = memory.path().metadata().unwrap().dev();
    let (mut given_again, _no_child_holds_it) = (false, MOUNTS.read().unwrap());
    for _ in 0..50 {
        assert!(unmount(memory.path()));
        assert!(succeeds("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs", memory.path().to_str().unwrap()]));
        given_again |= memory.path().metadata().unwrap().dev() == device;
        assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(entries(memory.path()), [""; 0]);
    }
    // The test proves something only if the kernel gives the number again.
    assert!(given_again, "device {device} was not given again");
}

/// The upper layer is on its own volume, and the lower one on another. Some kernels show the upper volume's device for
/// files of such an overlay.
#[test]
fn an_overlay_is_not_taken_for_the_volume_below() {
    let (Some(image), Some(memory)) = (Image::make("ext4"), Memory::mount("size=8m")) else { return };
    let Some(overlay) = Overlay::over(memory.path(), &image.mountpoint(), "xino=off") else { return };
    let store = open(overlay.path());
    let uid = upload(&store);
    assert_eq!(read_by_get(&store, &uid), 0);
    let uid = upload(&store);
    assert_eq!(read_by_get(&open(overlay.upper()), &uid), CHUNKS, "the overlay's tag is not the volume's");
    let uid = upload(&store);
    let _no_child_holds_it = MOUNTS.read().unwrap();
    assert!(overlay.unmount() && overlay.mount());
    assert_eq!(read_by_get(&store, &uid), CHUNKS, "nor is another overlay's");
    assert!(overlay.unmount());
}

/// Where the kernel tells the boot alone: each `get` reads the file, and none syncs it.
#[test]
fn where_no_volume_is_told_get_reads_and_does_not_sync() {
    test_hooks::hide_volumes(true);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let uid = upload(&store);
    for _ in 0..3 {
        let reached = steps(|| drop(store.get(&uid).unwrap()));
        assert_eq!(reached.iter().filter(|step| **step == "check:passed").count(), CHUNKS);
        assert!(!reached.iter().any(|step| step.starts_with("synced:")), "{reached:?}");
    }
    // A file that was synced at a higher level is not read.
    let durable = Options { durability: chunked_upload::Durability::Complete, ..Options::default() };
    let durable = Store::open(store.root(), durable).unwrap();
    durable.get(&uid).unwrap();
    assert!(steps(|| drop(store.get(&uid).unwrap())).is_empty());
}

/// There, too, an upload whose bytes were taken is gone, and a cut `state` is damaged: no power was lost.
#[test]
fn where_no_volume_is_told_the_errors_are_the_same() {
    for hidden in [false, true] {
        test_hooks::hide_volumes(hidden);
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let begun = || {
            let chunk = Chunk { total_size: 10, chunk_count: 2, content: b"hello", ..Chunk::default() };
            let uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
            (store.root().join(&uid), uid)
        };
        if !hidden && !crate::common::volume_is_told() {
            continue;
        }
        let (path, uid) = begun();
        std::fs::remove_file(path.join("data")).unwrap();
        assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
        let (path, uid) = begun();
        std::fs::File::options().write(true).open(path.join("state")).unwrap().set_len(540).unwrap();
        assert_eq!(store.get(&uid).unwrap_err().os_errno(), Some(libc::EBADMSG));
    }
}

//! Events at the destination while `move_to` is killed: the file is taken, its inode becomes another file's, or the
//! destination becomes read-only. The file is still delivered once, and nothing is left.

use std::cell::Cell;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::shim::{self, Fault, Shim};
use crate::common::{
    Image, Memory, TestStore, bytes, die_in, entries, in_child, kill_self, other_file_system, succeeds,
};
use chunked_upload::{Durability, ErrorKind, Expiry, Options, Store, test_hooks};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

/// Makes `call` in a child that is killed before its `nth` system call that changes or syncs something, counted from 0.
/// False if the call ended first.
fn killed_at(shim: Shim, nth: usize, call: impl FnOnce()) -> bool {
    thread_local!(static LEFT: Cell<usize> = const { Cell::new(0) });
    extern "C" fn watcher(_synced: i32) {
        if LEFT.get() == 0 {
            kill_self();
        }
        LEFT.set(LEFT.get() - 1);
    }
    let status = in_child(|| {
        LEFT.set(nth);
        shim.watched(watcher, call);
    });
    assert!(
        status.success() || std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL),
        "{status:?}"
    );
    !status.success()
}

fn everything() -> Expiry {
    Expiry::older_than(Duration::ZERO)
}

/// Takes each file, as a consumer does, and returns how many there were. Each must be right.
fn take(place: &Path, right: &[u8]) -> usize {
    let names: Vec<_> = entries(place).into_iter().filter(|name| !name.starts_with('.')).collect();
    for name in &names {
        assert!(std::fs::read(place.join(name)).unwrap() == right, "{name}");
        std::fs::remove_file(place.join(name)).unwrap();
    }
    names.len()
}

/// The mover is killed before any of its system calls. The consumer takes the file that it finds, and the call is
/// repeated.
#[test]
fn a_file_that_was_taken_is_not_delivered_again() {
    let Some(shim) = Shim::load() else { return };
    let Some(far) = other_file_system() else { return };
    let file = bytes(350);
    for durability in LEVELS {
        for (other, again_to) in [(false, "first"), (false, "second"), (true, "first"), (true, "second")] {
            for nth in 0.. {
                let store = TestStore::with(Options { durability, ..Options::default() });
                let near = tempfile::tempdir().unwrap();
                let place = if other { far.path() } else { near.path() };
                let uid = store.send_all(&file, 100);
                store.finished(&uid);
                let died = killed_at(shim, nth, || drop(store.move_to(&uid, place.join("first"), false).unwrap()));
                let what = format!("{durability:?}, other {other}, again to {again_to}, killed at {nth}");
                let before = take(place, &file);
                let again = store.move_to(&uid, place.join(again_to), false);
                assert_eq!(
                    again.map_err(|error| error.kind()).err(),
                    (before == 1).then_some(ErrorKind::Gone),
                    "{what}"
                );
                assert_eq!(before + take(place, &file), 1, "{what}");
                assert_eq!(entries(place), [""; 0], "{what}");
                assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone, "{what}");
                assert_eq!(entries(&store.root().join(&uid)), ["claim", "state"], "{what}");
                if !died {
                    assert!(nth > 4);
                    break;
                }
            }
        }
    }
}

/// A part is missing, and has not appeared: the file is not lost.
#[test]
fn a_missing_part_is_believed_only_in_its_directory_and_boot() {
    let file = bytes(350);
    let Some(far) = other_file_system() else { return };
    for durability in LEVELS {
        for happened in ["tidied away", "another disk", "power loss"] {
            let store = TestStore::with(Options { durability, ..Options::default() });
            let place = far.path().join("place");
            std::fs::create_dir(&place).unwrap();
            let uid = store.send_all(&file, 100);
            die_in("move:whole", 0, || drop(store.move_to(&uid, place.join("to"), false)));
            let parts = entries(&place);
            assert!(parts.len() == 1 && parts[0].ends_with(".part"));
            std::fs::remove_file(place.join(&parts[0])).unwrap();
            if happened == "another disk" {
                std::fs::rename(&place, far.path().join("unmounted")).unwrap();
                std::fs::create_dir(&place).unwrap();
                let _ = std::fs::remove_dir(far.path().join("unmounted"));
            }
            test_hooks::set_trust_tag((happened == "power loss").then_some(Some(99)));
            let again = store.move_to(&uid, place.join("to"), false).map(|moved| std::fs::read(moved.path).unwrap());
            test_hooks::set_trust_tag(None);
            match happened {
                // This looks exactly like a copy that was taken. See docs/design.md.
                "tidied away" => assert_eq!(again.unwrap_err().kind(), ErrorKind::Gone),
                // From level `complete` on, power loss does not remove a part.
                "power loss" if durability > Durability::Process => {
                    assert_eq!(again.unwrap_err().kind(), ErrorKind::Gone)
                }
                _ => assert!(again.unwrap() == file),
            }
            std::fs::remove_dir_all(&place).unwrap();
        }
    }
}

/// Everything that a copy's claim needs is on disk before the copy appears. An existing part is continued.
#[test]
fn a_whole_part_appears_without_being_copied_again() {
    let file = bytes(350);
    let Some(far) = other_file_system() else { return };
    for durability in LEVELS {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let uid = store.send_all(&file, 100);
        let to = far.path().join("to");
        die_in("move:whole", 0, || drop(store.move_to(&uid, &to, false)));
        let inode = far.path().join(&entries(far.path())[0]).metadata().unwrap().ino();
        store.move_to(&uid, &to, false).unwrap();
        assert_eq!(to.metadata().unwrap().ino(), inode);
        assert_eq!(take(far.path(), &file), 1);
    }
}

/// The copy appeared at a lower level than that of the call that ends the move. Its bytes are synced before the
/// original is removed.
#[test]
fn a_copy_is_synced_by_the_call_that_promises_it() {
    let Some(shim) = Shim::load() else { return };
    let file = bytes(350);
    let Some(far) = other_file_system() else { return };
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    let to = far.path().join("to");
    // This `get` syncs the upload, but not the copy.
    die_in("move:appeared", 0, || drop(store.move_to(&uid, &to, false)));
    let durable = store.reopened(Options { durability: Durability::Complete, ..Options::default() });
    durable.get(&uid).unwrap();
    let fault = Fault { errno: libc::EIO, kinds: shim::SYNC, lasting: true };
    let (again, _) = shim.with(1, fault, || durable.move_to(&uid, &to, false));
    assert_eq!(again.unwrap_err().path(), Some(to.as_path()));
    assert_eq!(store.content(&uid), file, "the original is still there");
    durable.move_to(&uid, &to, false).unwrap();
    assert_eq!(take(far.path(), &file), 1);
}

/// A file system that can be made read-only.
enum Disk {
    Tmpfs(Memory),
    Ext4(Image),
}

impl Disk {
    fn make(kind: &str) -> Option<Disk> {
        if kind == "tmpfs" { Memory::mount("size=8m").map(Disk::Tmpfs) } else { Image::make(kind).map(Disk::Ext4) }
    }

    fn path(&self) -> PathBuf {
        match self {
            Disk::Tmpfs(memory) => memory.path().to_owned(),
            Disk::Ext4(image) => image.mountpoint(),
        }
    }

    fn remount(&self, how: &str) {
        assert!(succeeds("mount", &["-o", &format!("remount,{how}"), self.path().to_str().unwrap()]));
    }
}

/// A copy was begun. Then its destination became read-only, or was removed.
#[test]
fn a_copy_that_cannot_be_removed_holds_no_upload() {
    let file = bytes(350);
    for kind in ["tmpfs", "ext4"] {
        let Some(disk) = Disk::make(kind) else { return };
        let place = disk.path().join("place");
        std::fs::create_dir(&place).unwrap();
        for died_in in ["move:announced", "move:created", "move:copied", "move:whole"] {
            let what = format!("{kind}, {died_in}");
            let has_part = died_in != "move:announced";
            let begun = || {
                let store = TestStore::new();
                let uid = store.send_all(&file, 100);
                die_in(died_in, 0, || drop(store.move_to(&uid, place.join("to"), false)));
                (store, uid)
            };
            let parts = || entries(&place).len();
            let tidy = || {
                disk.remount("rw");
                for name in entries(&place) {
                    std::fs::remove_file(place.join(name)).unwrap();
                }
            };

            let (store, uid) = begun();
            disk.remount("ro");
            let error = store.move_to(&uid, place.join("to"), false).unwrap_err();
            assert_eq!(error.os_errno(), Some(libc::EROFS), "{what}: {error}");
            disk.remount("rw");
            let moved = store.move_to(&uid, place.join("to"), false).unwrap();
            assert!(std::fs::read(moved.path).unwrap() == file);
            assert_eq!(entries(&place), ["to"], "{what}: the part was not forgotten");
            tidy();

            let (store, uid) = begun();
            disk.remount("ro");
            let elsewhere = store.dir.path().join("elsewhere");
            store.move_to(&uid, &elsewhere, false).unwrap();
            assert!(std::fs::read(elsewhere).unwrap() == file, "{what}");
            assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
            store.remove(&uid).unwrap();
            assert_eq!(parts(), usize::from(has_part), "{what}: it stays");
            tidy();

            let (store, uid) = begun();
            disk.remount("ro");
            match store.remove(&uid) {
                Err(error) => {
                    assert!(has_part && error.os_errno() == Some(libc::EROFS), "{what}: {error}");
                    assert!(error.path().is_some_and(|path| path.starts_with(&place)), "{what}: {error}");
                }
                Ok(()) => assert!(!has_part, "{what}: it is reported"),
            }
            assert_eq!(store.remove(&uid).unwrap_err().kind(), ErrorKind::NotFound, "{what}");
            assert_eq!(entries(store.root()), [""; 0], "{what}");
            tidy();

            let (store, _) = begun();
            disk.remount("ro");
            let cleaned = store.cleanup(&everything()).unwrap();
            assert_eq!((cleaned.removed.len(), cleaned.failed_count), (1, u64::from(has_part)), "{what}");
            assert_eq!(entries(store.root()), [""; 0], "{what}");
            tidy();

            let (store, uid) = begun();
            let hidden = disk.path().join("hidden");
            std::fs::rename(&place, &hidden).unwrap();
            let elsewhere = store.dir.path().join("elsewhere");
            assert!(std::fs::read(store.move_to(&uid, elsewhere, false).unwrap().path).unwrap() == file, "{what}");
            std::fs::rename(&hidden, &place).unwrap();
            tidy();
        }
    }
}

/// A copy was begun. Then the server lost the right to read the destination. Root may always read it, so another user
/// tries.
#[test]
fn a_copy_out_of_reach_holds_no_upload() {
    let Some(far) = other_file_system() else { return };
    let near = tempfile::tempdir().unwrap();
    for dir in [far.path(), near.path()] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o1777)).unwrap();
    }
    let status = in_child(|| {
        // SAFETY: no pointers are passed.
        unsafe {
            if libc::geteuid() == 0 {
                assert_eq!((libc::setgid(65534), libc::setuid(65534)), (0, 0));
            }
        }
        let file = bytes(350);
        let (place, root) = (far.path().join("place"), near.path().join("uploads"));
        std::fs::create_dir(&place).unwrap();
        let store = Store::open(&root, Options::default()).unwrap();
        let mode = |mode| std::fs::set_permissions(&place, PermissionsExt::from_mode(mode)).unwrap();
        for how in ["move elsewhere", "remove", "cleanup"] {
            let uid = crate::common::send(&store, "", &file, 350, 0).unwrap().upload_uid;
            die_in("move:copied", 0, || drop(store.move_to(uid.as_str(), place.join("to"), false)));
            mode(0);
            match how {
                "remove" => {
                    let error = store.remove(uid.as_str()).unwrap_err();
                    assert_eq!(error.os_errno(), Some(libc::EACCES), "{error}");
                }
                "cleanup" => {
                    let cleaned = store.cleanup(&everything()).unwrap();
                    assert_eq!((cleaned.removed.len(), cleaned.failed_count), (2, 1), "and what was moved away");
                }
                _ => assert!(
                    std::fs::read(store.move_to(uid.as_str(), near.path().join("to"), false).unwrap().path).unwrap()
                        == file
                ),
            }
            let there = store.inspect(uid.as_str(), 0).is_ok();
            assert_eq!(there, how == "move elsewhere", "{how}");
            mode(0o700);
        }
    });
    assert!(status.success(), "{status:?}");
}

/// Puts another file of this size at `path`, with this inode: the file system reuses the numbers of removed files.
fn with_inode(path: &Path, inode: u64, size: usize) {
    let dir = tempfile::tempdir_in(path.parent().unwrap()).unwrap();
    for attempt in 0..10_000 {
        let other = dir.path().join(attempt.to_string());
        std::fs::write(&other, vec![b'x'; size]).unwrap();
        if other.metadata().unwrap().ino() == inode {
            return std::fs::rename(&other, path).unwrap();
        }
    }
    panic!("the inode {inode} does not come back");
}

#[test]
fn another_file_with_the_moved_one_s_inode_is_not_taken_for_it() {
    let file = bytes(350);
    let Some(image) = Image::make("ext4") else { return };
    for other in [false, true] {
        let near = tempfile::tempdir().unwrap();
        let root = if other { near.path().to_owned() } else { image.mountpoint() }.join("uploads");
        let store = Store::open(root, Options { min_free_space: 0, ..Options::default() }).unwrap();
        for round in 0..20 {
            let uid = crate::common::send(&store, "", &file, 350, 0).unwrap().upload_uid;
            let to = image.mountpoint().join(format!("to {other} {round}"));
            store.move_to(uid.as_str(), &to, false).unwrap();
            std::fs::set_permissions(&to, PermissionsExt::from_mode(0o644)).unwrap();
            store.move_to(uid.as_str(), &to, false).expect("another mode makes no other file");
            let inode = to.metadata().unwrap().ino();
            std::fs::remove_file(&to).unwrap();
            // Longer than one tick of the file systems' clock.
            std::thread::sleep(Duration::from_millis(20));
            with_inode(&to, inode, [350, 349][round % 2]);
            for overwrite in [false, true] {
                let again = store.move_to(uid.as_str(), &to, overwrite);
                assert_eq!(again.unwrap_err().kind(), ErrorKind::Gone, "other {other}, round {round}");
            }
            assert_eq!(std::fs::read(&to).unwrap()[0], b'x');
        }
    }
}

/// A copy was begun. Then a call that repeats it, moves the file elsewhere, or removes the upload is killed before any
/// of its system calls.
#[test]
fn no_part_is_left_without_a_claim() {
    let Some(shim) = Shim::load() else { return };
    let file = bytes(350);
    let Some(far) = other_file_system() else { return };
    for died_in in ["move:created", "move:copied", "move:whole"] {
        for call in ["again", "elsewhere", "far elsewhere", "remove", "cleanup"] {
            for nth in 0.. {
                let store = TestStore::new();
                let uid = store.send_all(&file, 100);
                let place = far.path().join("place");
                let second = far.path().join("second");
                [&place, &second].into_iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
                die_in(died_in, 0, || drop(store.move_to(&uid, place.join("to"), false)));
                // The copied bytes are not trusted: the copy begins again.
                test_hooks::set_trust_tag(Some(Some(99)));
                let died = killed_at(shim, nth, || match call {
                    "again" => drop(store.move_to(&uid, place.join("to"), false).unwrap()),
                    "elsewhere" => drop(store.move_to(&uid, store.dir.path().join("to"), false).unwrap()),
                    "far elsewhere" => drop(store.move_to(&uid, second.join("to"), false).unwrap()),
                    "remove" => store.remove(&uid).unwrap(),
                    _ => assert_eq!(store.cleanup(&everything()).unwrap().failed_count, 0),
                });
                let _ = store.remove(&uid);
                assert_eq!(store.cleanup(&everything()).unwrap().failed_count, 0);
                test_hooks::set_trust_tag(None);
                let what = format!("{died_in}, {call}, killed at {nth}");
                for dir in [place, second] {
                    assert!(entries(&dir).iter().all(|name| name == "to"), "{what}: {:?}", entries(&dir));
                    std::fs::remove_dir_all(&dir).unwrap();
                }
                assert_eq!(entries(store.root()), [""; 0], "{what}");
                if !died {
                    break;
                }
            }
        }
    }
}

/// A program with a timer whose signal interrupts system calls.
#[test]
fn signals_do_not_end_a_copy() {
    const SIZE: usize = 24 << 20;
    let file = bytes(SIZE);
    let store = TestStore::new();
    let Some(far) = other_file_system() else { return };
    let uids: Vec<_> = (0..8).map(|_| store.send_all(&file, SIZE)).collect();
    let status = in_child(|| {
        extern "C" fn handler(_: i32) {}
        // SAFETY: all zeros are a value of these plain C structures, which outlive the calls. The handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(i32) as usize;
            assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
            let often = libc::timeval { tv_sec: 0, tv_usec: 300 };
            let timer = libc::itimerval { it_interval: often, it_value: often };
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
        }
        for uid in &uids {
            store.move_to(uid, far.path().join(uid), false).unwrap();
        }
    });
    assert!(status.success(), "{status:?}");
    for uid in &uids {
        assert!(std::fs::read(far.path().join(uid)).unwrap() == file);
    }
}

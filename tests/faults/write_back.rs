//! A disk fails for a moment. The kernel reports a failed write-back once, and then forgets it. So bytes that could not
//! be synced are written again before the next sync.

use std::process::Command;
use std::rc::Rc;

use crate::common::{CUTS, Image, Memory, TestStore, bytes, chunk_count, cut, have, send, steps, succeeds, unwritten};
use chunked_upload::{Durability, Options, Store, test_hooks};

fn store(durability: Durability) -> TestStore {
    TestStore::with(Options { durability, ..Options::default() })
}

/// While `call` runs, each sync of this name fails.
fn failing<T>(sync: &'static str, call: impl FnOnce() -> T) -> T {
    let fail = move |step| if step == sync { Err(std::io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) };
    test_hooks::set_hook(Some(Rc::new(fail)));
    let answer = call();
    test_hooks::set_hook(None);
    answer
}

#[test]
fn a_finished_file_that_could_not_be_synced_is_read_from_the_disk() {
    let file = bytes(1000);
    for sync in ["synced:file", "synced:state", "synced:names"] {
        let store = store(Durability::Complete);
        let uid = store.send_all(&file, 100);
        let error = failing(sync, || store.get(&uid)).unwrap_err();
        assert_eq!(error.os_errno(), Some(libc::EIO), "{sync}");
        let steps = steps(|| assert_eq!(store.content(&uid), file));
        assert_eq!(steps.iter().filter(|step| **step == "confirm:passed").count(), 10, "{sync}: {steps:?}");
    }
}

#[test]
fn a_rewritten_file_that_could_not_be_synced_is_rewritten() {
    let file = bytes(350);
    let store = store(Durability::Complete);
    let uid = store.send_pieces(&cut(&file, CUTS[1]), &[3, 2, 1, 0]);
    let error = failing("synced:ordered", || store.get(&uid)).unwrap_err();
    assert_eq!(error.os_errno(), Some(libc::EIO));
    assert!(!store.path(&uid, "ordered").exists());
    assert_eq!(store.content(&uid), file);
}

#[test]
fn a_slot_that_could_not_be_synced_is_written_again() {
    let file = bytes(1000);
    let store = store(Durability::Chunk);
    let uid = store.first(&file, 100, 0);
    let error = failing("synced:state", || store.send(&uid, &file, 100, 1)).unwrap_err();
    assert_eq!(error.os_errno(), Some(libc::EIO));
    let steps = steps(|| assert!(store.send(&uid, &file, 100, 1).is_ok()));
    assert!(steps.starts_with(&["receive:locked", "close:locked", "synced:data", "confirm:synced"]), "{steps:?}");
    assert!(steps.ends_with(&["receive:locked", "receive:secured", "synced:state"]), "{steps:?}");
}

/// Only on disks that fail are bytes read back: that costs as much as the chunk, or the file.
#[test]
fn a_disk_that_works_is_never_in_doubt() {
    for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
        let image = if kind == "tmpfs" { None } else { Image::make(kind) };
        let memory = if kind == "tmpfs" { Memory::mount("size=64m") } else { None };
        let mounted = image.as_ref().map(Image::mountpoint).or(memory.as_ref().map(|memory| memory.path().to_owned()));
        let Some(mounted) = mounted else { continue };
        for (durability, size) in [Durability::Complete, Durability::Chunk]
            .map(|level| (level, [4096, 5000]))
            .into_iter()
            .flat_map(|(level, sizes)| sizes.map(|size| (level, size)))
        {
            let options = Options { durability, min_free_space: 0, ..Options::default() };
            let store = Store::open(mounted.join("uploads"), options).unwrap();
            let file = bytes(100_000);
            let steps = steps(|| {
                let uid = send(&store, "", &file, size, 3).unwrap().upload_uid.to_string();
                for number in (0..chunk_count(&file, size)).rev() {
                    send(&store, &uid, &file, size, number).unwrap();
                }
                assert!(std::fs::read(store.get(&uid).unwrap().path).unwrap() == file);
            });
            let confirmed = steps.iter().any(|step| step.starts_with("confirm:"));
            assert!(!confirmed, "{kind} {durability:?} {size}: {steps:?}");
        }
    }
}

/// Leaves no room for new blocks.
fn fill(memory: &Memory) {
    let used = Command::new("df").args(["--output=used", "-B1"]).arg(memory.path()).output().unwrap().stdout;
    let used = String::from_utf8(used).unwrap();
    memory.remount(&format!("size={}", used.lines().nth(1).unwrap().trim()));
}

/// On a real ext4, whose disk fails only for these bytes. If they were written again over the same blocks, they would
/// read as zeros when they leave the page cache, although the second sync succeeded.
#[test]
fn a_chunk_whose_sync_failed_is_on_disk_when_it_is_acknowledged_later() {
    const SIZE: usize = 64 << 10;
    if !have(&["df", "filefrag", "fallocate"]) {
        return;
    }
    let Some(memory) = Memory::mount("size=256m") else { return };
    // Blocks of whole pages: the loop device mistakes a partial write within a page for a whole one.
    let arguments = ["-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"];
    let Some(image) = Image::made_with(memory.path(), "ext4", 64, &arguments) else { return };
    let (file, backing) = (bytes(8 * SIZE), image.file());
    let backing = backing.to_str().unwrap();
    let options = Options { durability: Durability::Chunk, ..Options::default() };
    let store = Store::open(image.mountpoint().join("uploads"), options).unwrap();
    let uid = send(&store, "", &file, SIZE, 0).unwrap().upload_uid.to_string();
    // The disk has room for everything except the other chunks.
    assert!(succeeds("fallocate", &["-l", "64M", backing]));
    let places = unwritten(&image.mountpoint().join("uploads").join(&uid).join("data"));
    assert!(!places.is_empty());
    for (start, length) in places {
        assert!(succeeds("fallocate", &["-p", "-o", &start, "-l", &length, backing]));
    }
    fill(&memory);
    for _ in 0..3 {
        let error = send(&store, &uid, &file, SIZE, 1).unwrap_err();
        assert!(matches!(error.os_errno(), Some(libc::EIO | libc::ENOSPC)), "{error}");
    }
    memory.remount("size=256m");
    for number in 1..8 {
        send(&store, &uid, &file, SIZE, number).unwrap();
    }
    assert!(image.unmount() && image.mount());
    let finished = store.get(&uid).unwrap();
    assert!(std::fs::read(finished.path).unwrap() == file);
}

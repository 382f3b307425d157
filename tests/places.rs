//! No two chunks ever have one place in `data` on record, live or on any disk: no checksum would find it, and each sent
//! again would destroy the other.

mod common;

use std::rc::Rc;

use chunked_upload::{Durability, Options, seam};
use common::{TestStore, bytes, cut, die_in, kill_self, seeded_bytes};

/// From here on this thread sees the store through this mount; `None`: the kernel does not tell.
fn mount(tag: Option<u32>) {
    seam::set_trust_tag(Some(tag));
}

/// The name is empty, so the slots begin at 512, and each sector has 16.
const SLOTS_0_TO_15: std::ops::Range<usize> = 512..1024;

fn state(store: &TestStore, uid: &str) -> Vec<u8> {
    std::fs::read(store.path(uid, "state")).unwrap()
}

/// What is on disk of `state` behind a call, if `disk` was before: what was last synced.
fn disk_behind(store: &TestStore, uid: &str, disk: Vec<u8>, call: impl FnOnce()) -> Vec<u8> {
    let (path, to) = (store.path(uid, "state"), store.dir.path().join("disk"));
    std::fs::write(&to, disk).unwrap();
    let into = to.clone();
    seam::set_hook(Some(Rc::new(move |step| {
        if step == "synced:state" {
            std::fs::copy(&path, &into).unwrap();
        }
        Ok(())
    })));
    call();
    seam::set_hook(None);
    std::fs::read(&to).unwrap()
}

/// Power loss keeps the newest of `state`, but of the first 16 slots what `disk` has.
fn lose_slots(store: &TestStore, uid: &str, disk: &[u8]) {
    let mut kept = state(store, uid);
    kept[SLOTS_0_TO_15].copy_from_slice(&disk[SLOTS_0_TO_15]);
    std::fs::write(store.path(uid, "state"), kept).unwrap();
    mount(Some(999));
}

/// When the tail has come to its limit, room is taken that another chunk left, and may end behind the tail.
#[test]
fn room_that_is_used_again_is_behind_no_later_chunk_s() {
    let store = TestStore::new();
    let uid = store.send_content("", 1000, 3, 2, &seeded_bytes(900, 1));
    store.send_content(&uid, 1000, 3, 0, &seeded_bytes(600, 2));
    store.send_content(&uid, 1000, 3, 0, &seeded_bytes(700, 3));
    store.send_content(&uid, 1000, 3, 1, &seeded_bytes(200, 4));
    store.send_content(&uid, 1000, 3, 2, &seeded_bytes(100, 5));
    assert_eq!(store.content(&uid), [seeded_bytes(700, 3), seeded_bytes(200, 4), seeded_bytes(100, 5)].concat());
}

/// Chunk 1 leaves its place at the tail for the grid; another view of the store, which does not believe the mark of the tail,
/// gives it to chunk 17.
#[test]
fn a_place_that_was_left_is_not_on_the_disk_when_another_gets_it() {
    for (first, second) in [(Some(100), Some(100)), (Some(100), Some(200)), (None, None)] {
        let store = TestStore::new();
        mount(first);
        let uid = store.send_content("", 2000, 20, 0, &seeded_bytes(100, 1));
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(120, 2));
        let disk = state(&store, &uid);
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(100, 3));
        mount(second);
        let disk = disk_behind(&store, &uid, disk, || {
            store.send_content(&uid, 2000, 20, 17, &seeded_bytes(110, 4));
        });
        lose_slots(&store, &uid, &disk);
        store.send_content(&uid, 2000, 20, 17, &seeded_bytes(110, 4));
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(120, 2));
        assert_eq!(store.verify(&uid).unwrap().damaged_count, 0, "{first:?} {second:?}");
    }
}

/// The call that takes the place of another chunk is killed as soon as it has synced anything; it is repeated.
#[test]
fn a_repeated_call_does_not_write_where_the_disk_has_another() {
    let store = TestStore::new();
    mount(Some(100));
    let uid = store.send_content("", 1000, 20, 0, &seeded_bytes(900, 1));
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(500, 2));
    let disk = state(&store, &uid);
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(550, 3));
    let seventeen = || {
        store.send_content(&uid, 1000, 20, 17, &seeded_bytes(300, 4));
    };
    let disk = disk_behind(&store, &uid, disk, || die_in("synced:state", 0, seventeen));
    let disk = disk_behind(&store, &uid, disk, seventeen);
    lose_slots(&store, &uid, &disk);
    store.send_content(&uid, 1000, 20, 17, &seeded_bytes(300, 4));
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(500, 2));
    assert_eq!(store.verify(&uid).unwrap().damaged_count, 0);
}

/// A call that brings chunks into order is killed behind its mark, before that is synced. The next one goes on, and the
/// power fails: the mark must be on the disk before any slot tells where a chunk lies in the new file.
#[test]
fn slots_are_not_moved_before_the_mark_is_on_the_disk() {
    for durability in [Durability::Process, Durability::Chunk] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        mount(Some(100));
        let sizes: Vec<usize> = (0..20).map(|n| 600 + n * 13 + usize::from(n == 0)).collect();
        let file = bytes(sizes.iter().sum());
        let pieces = cut(&file, &sizes);
        let mut uid = String::new();
        for number in (0..20).rev() {
            uid = store.send_content(&uid, file.len(), 20, number as u64, pieces[number]);
        }
        let before = state(&store, &uid);
        die_in("rewrite:ordered", 0, || drop(store.get(&uid)));
        let synced = store.dir.path().join("synced");
        let (path, into) = (store.path(&uid, "state"), synced.clone());
        let call = || {
            seam::set_hook(Some(Rc::new(move |step| {
                if step == "synced:state" {
                    std::fs::copy(&path, &into).unwrap();
                }
                if step == "rewrite:moved" {
                    kill_self();
                }
                Ok(())
            })));
            drop(store.get(&uid));
        };
        assert!(!common::in_child(call).success());
        let (disk, live) = (std::fs::read(&synced).expect("it is synced"), state(&store, &uid));
        let phase = |state: &[u8]| state[64];
        assert_eq!((phase(&before), phase(&disk), phase(&live)), (1, 2, 2));
        assert!(disk[512..] == before[512..] && live[512..] != before[512..], "and only then the slots are moved");
        mount(Some(300));
        assert_eq!(store.content(&uid), file);
    }
}

//! One store through different mounts, as from two containers. Calls die while another view takes over, and what one
//! view left is never mistaken for another's.

use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use crate::common::{TestStore, bytes, die_in, dies_at, entries, in_child, seeded_bytes};
use chunked_upload::{Durability, Error, ErrorKind, Options, test_hooks};

/// From here on this thread sees the store through this mount.
fn mount(number: u32) {
    test_hooks::set_trust_tag(Some(Some(number)));
}

/// Kills a call, through this mount, at its n-th step of this name, counted from 0.
fn die_at(step: &'static str, nth: usize, tag: Option<u32>, call: impl FnOnce()) {
    die_in(step, nth, || {
        test_hooks::set_trust_tag(Some(tag));
        call();
    });
}

/// Cuts that make a rewrite necessary.
fn uneven(file: &[u8]) -> [&[u8]; 4] {
    [&file[..100], &file[100..190], &file[190..300], &file[300..]]
}

fn uneven_upload(store: &TestStore, file: &[u8]) -> String {
    store.send_pieces(&uneven(file), &[0, 1, 2, 3])
}

/// One view begins a rewrite, and another begins it again and dies. The first view's progress is not that of the new
/// copy.
#[test]
fn a_rewrite_begun_anew_voids_what_another_view_had_done() {
    let file = bytes(350);
    for step in ["rewrite:copied", "rewrite:recorded"] {
        for nth in 0..3 {
            let store = TestStore::new();
            mount(100);
            let uid = uneven_upload(&store, &file);
            die_at("rewrite:recorded", 1, Some(100), || drop(store.get(&uid)));
            die_at(step, nth, Some(200), || drop(store.get(&uid)));
            assert_eq!(store.content(&uid), file, "{step} {nth}");
        }
    }
}

/// One view begins a rewrite, and another begins it again and fails.
#[test]
fn a_rewrite_that_failed_voids_it_too() {
    let file = bytes(350);
    let store = TestStore::new();
    mount(100);
    let uid = uneven_upload(&store, &file);
    die_at("rewrite:recorded", 1, Some(100), || drop(store.get(&uid)));
    mount(200);
    test_hooks::set_hook(Some(Rc::new(|step| match step {
        "rewrite:copied" => Err(std::io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(()),
    })));
    assert_eq!(store.get(&uid).unwrap_err().os_errno(), Some(libc::EFBIG));
    test_hooks::set_hook(None);
    mount(100);
    assert_eq!(store.content(&uid), file);
}

/// With one view only: a rewrite dies, chunks sent again make it needless, and that `get` dies. Then the rewrite is
/// needed after all.
#[test]
fn a_rewrite_that_became_needless_and_needed_again() {
    let file = bytes(400);
    let even: Vec<&[u8]> = file.chunks(100).collect();
    let odd = [&file[..100], &file[100..210], &file[210..300], &file[300..]];
    let store = TestStore::new();
    mount(100);
    let uid = store.send_pieces(&odd, &[0, 3, 1, 2]);
    die_at("rewrite:recorded", 2, Some(100), || drop(store.get(&uid)));
    for number in [1, 2] {
        store.send_piece(&uid, &even, number).unwrap();
    }
    die_at("complete:cut", 0, Some(100), || drop(store.get(&uid)));
    for number in [1, 2] {
        store.send_piece(&uid, &odd, number).unwrap();
    }
    die_at("rewrite:copied", 0, Some(100), || drop(store.get(&uid)));
    assert_eq!(store.content(&uid), file);
}

/// The record of a rewrite claims more bytes than its file has: another program cut the file.
#[test]
fn progress_beyond_the_copy_is_not_believed() {
    let file = bytes(350);
    let store = TestStore::new();
    mount(100);
    let uid = uneven_upload(&store, &file);
    die_at("rewrite:recorded", 2, Some(100), || drop(store.get(&uid)));
    std::fs::write(store.path(&uid, "ordered"), "").unwrap();
    assert_eq!(store.content(&uid), file);
}

/// A file was finished with a place that reaches beyond its end, and damaged. Chunks that are acknowledged later stay.
#[test]
fn the_tail_of_a_reopened_upload_is_behind_all_places() {
    let store = TestStore::new();
    mount(100);
    let piece = |size, seed| seeded_bytes(size, seed);
    let uid = store.send_content("", 30, 3, 0, &piece(2, 1));
    for (number, content) in [(1, piece(6, 2)), (2, piece(25, 3)), (2, piece(22, 4))] {
        store.send_content(&uid, 30, 3, number, &content);
    }
    let finished = std::fs::File::options().write(true).open(store.finished(&uid).path).unwrap();
    mount(200);
    finished.write_all_at(&[0xff; 2], 3).unwrap();
    assert!(matches!(store.get(&uid), Err(Error::Incomplete { missing_count: 1, first_missing: 1, .. })));
    for (number, content) in [(1, piece(7, 5)), (2, piece(25, 6)), (2, piece(21, 7))] {
        store.send_content(&uid, 30, 3, number, &content);
    }
    assert_eq!(store.content(&uid), [piece(2, 1), piece(7, 5), piece(21, 7)].concat());
}

/// Power loss lost the copy but kept the mark that it is whole. It is unknown to which file the slots belong.
#[test]
fn an_upload_that_lost_its_copy_begins_anew() {
    let file = bytes(350);
    let store = TestStore::new();
    mount(100);
    let uid = uneven_upload(&store, &file);
    die_at("rewrite:ordered", 0, Some(100), || drop(store.get(&uid)));
    std::fs::remove_file(store.path(&uid, "ordered")).unwrap();
    mount(200);
    let (two, three) = (seeded_bytes(105, 8), seeded_bytes(55, 9));
    let error = store.get(&uid).unwrap_err();
    assert!(matches!(error, Error::Incomplete { missing_count: 4, .. }), "{error}");
    store.send_content(&uid, 350, 4, 0, &file[..100]);
    store.send_content(&uid, 350, 4, 1, &file[100..190]);
    store.send_content(&uid, 350, 4, 2, &two);
    store.send_content(&uid, 350, 4, 3, &three);
    assert_eq!(store.content(&uid), [&file[..190], &two, &three].concat());
}

/// At level `chunk`, power loss brings back an abandoned rewrite's file and the name `data`, and keeps the mark of the
/// completion in place. `data` has the acknowledged bytes.
#[test]
fn a_leftover_that_power_loss_brings_back_is_not_taken_for_the_file() {
    let file = bytes(350);
    let store = TestStore::with(Options { durability: Durability::Chunk, ..Options::default() });
    mount(100);
    let uid = uneven_upload(&store, &file);
    die_at("rewrite:recorded", 0, Some(100), || drop(store.get(&uid)));
    let even = [&file[..100], &file[100..200], &file[200..300], &file[300..]];
    for number in [1, 2] {
        store.send_piece(&uid, &even, number).unwrap();
    }
    let kept = store.dir.path().join("kept");
    std::fs::copy(store.path(&uid, "ordered"), &kept).unwrap();
    die_at("complete:marked", 0, Some(100), || drop(store.get(&uid)));
    std::fs::rename(store.path(&uid, "file"), store.path(&uid, "data")).unwrap();
    std::fs::rename(kept, store.path(&uid, "ordered")).unwrap();
    mount(200);
    assert_eq!(store.content(&uid), file);
    assert_eq!(entries(&store.root().join(&uid)), ["file", "state"]);
}

/// A chunk that is sent again unchanged is never lost, at whatever instant its repeat dies, whether its record is
/// trusted or not.
#[test]
fn a_repeat_that_dies_loses_nothing() {
    let file = bytes(350);
    for repeats_through in [Some(100), Some(200), None] {
        for durability in [Durability::Process, Durability::Chunk] {
            let store = TestStore::with(Options { durability, ..Options::default() });
            mount(100);
            let uid = store.send_all(&file, 100);
            for step in 0.. {
                let died = dies_at(
                    step,
                    |_| {},
                    || {
                        test_hooks::set_trust_tag(Some(repeats_through));
                        store.send(&uid, &file, 100, 1).unwrap();
                    },
                );
                let state = std::fs::read(store.path(&uid, "state")).unwrap();
                let tags: Vec<&[u8]> = state[576..].chunks(32).map(|slot| &slot[28..]).collect();
                assert!(tags.iter().all(|tag| **tag != [0; 4]), "through {repeats_through:?}, step {step}");
                if !died {
                    break;
                }
            }
            assert_eq!(store.content(&uid), file);
        }
    }
}

/// A `get` without locks does not report an empty chunk as missing while it is repeated.
#[test]
fn a_repeated_empty_chunk_is_never_missing() {
    let store = TestStore::new();
    mount(100);
    let uid = store.send_content("", 10, 3, 0, b"abc");
    store.send_content(&uid, 10, 3, 1, b"");
    store.send_content(&uid, 10, 3, 2, b"defghij");
    mount(200);
    let (state, seen) = (store.path(&uid, "state"), Rc::new(Cell::new(0)));
    let count = seen.clone();
    test_hooks::set_hook(Some(Rc::new(move |_| {
        assert_ne!(std::fs::read(&state).unwrap()[512 + 32 + 28..512 + 64], [0; 4]);
        count.set(count.get() + 1);
        Ok(())
    })));
    store.send_content(&uid, 10, 3, 1, b"");
    test_hooks::set_hook(None);
    assert!(seen.get() > 1);
    assert_eq!(store.content(&uid), b"abcdefghij");
}

/// Two users of one group share a store. One finishes what the other left unfinished.
#[test]
fn another_user_of_the_group_goes_on() {
    // SAFETY: no pointers are passed.
    if unsafe { libc::geteuid() } != 0 {
        crate::common::skip("only root can become another user");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let options = Options { dir_mode: 0o2770, file_mode: 0o660, ..Options::default() };
    let store = TestStore::with(options);
    std::fs::set_permissions(store.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = bytes(350);
    let uid_at = store.dir.path().join("uid");
    let be = |user: u32| {
        // SAFETY: the only pointer is null, with length 0.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(1003), 0);
            assert_eq!(libc::setuid(user), 0);
        }
    };
    mount(100);
    let made = in_child(|| {
        be(1001);
        std::fs::write(&uid_at, uneven_upload(&store, &file)).unwrap();
    });
    assert!(made.success());
    let uid = std::fs::read_to_string(uid_at).unwrap();
    die_at("rewrite:recorded", 1, Some(100), || {
        be(1001);
        drop(store.get(&uid));
    });
    let finished = in_child(|| {
        be(1002);
        mount(200);
        assert_eq!(store.content(&uid), file);
    });
    assert!(finished.success());
    assert_eq!(store.content(&uid), file);
    assert_eq!(store.get("0").unwrap_err().kind(), ErrorKind::NotFound);
}

/// Power loss kept the mark of the finished file, and the slots from before the rewrite, and damaged one chunk of the
/// file. Another chunk with the same bytes lies where the old slot points. A repeat of it does not prove that the chunk
/// is there.
#[test]
fn a_slot_from_before_a_rewrite_is_not_taken_for_the_file_s() {
    let mut file = bytes(351);
    let first = file[..50].to_vec();
    file[301..].copy_from_slice(&first);
    let pieces: [&[u8]; 4] = [&file[..50], &file[50..190], &file[190..301], &file[301..]];
    let store = TestStore::new();
    mount(100);
    let uid = store.send_pieces(&pieces, &[3, 1, 0, 2]);
    let before = std::fs::read(store.path(&uid, "state")).unwrap();
    store.finished(&uid);
    let mut state = std::fs::read(store.path(&uid, "state")).unwrap();
    let table = 576; // after the name "a.bin", see docs/design.md
    assert_ne!(state[table..], before[table..]);
    state[table..].copy_from_slice(&before[table..]);
    std::fs::write(store.path(&uid, "state"), state).unwrap();
    std::fs::File::options().write(true).open(store.path(&uid, "file")).unwrap().write_all_at(&[0; 50], 301).unwrap();
    mount(200);
    store.send_piece(&uid, &pieces, 3).unwrap();
    assert_eq!(store.content(&uid), file);
}

/// Where the kernel does not tell the boot, records of another boot look like those of this one.
#[test]
fn an_upload_that_begins_anew_does_not_say_that_all_is_there() {
    test_hooks::set_trust_tag(Some(None));
    let sizes: Vec<usize> = (0..64).map(|n| 10 + n % 7).collect();
    let file = bytes(sizes.iter().sum());
    let pieces = crate::common::cut(&file, &sizes);
    let store = TestStore::new();
    let order: Vec<usize> = std::iter::once(63).chain(0..63).collect();
    let uid = store.send_pieces(&pieces, &order);
    die_in("rewrite:ordered", 0, || drop(store.get(&uid)));
    std::fs::remove_file(store.path(&uid, "ordered")).unwrap();
    assert!(matches!(store.get(&uid), Err(Error::Incomplete { missing_count: 64, .. })));
    assert!(!store.send_piece(&uid, &pieces, 0).unwrap().received_all, "after the first of 64");
}

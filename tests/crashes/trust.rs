//! Bytes are damaged, and another boot or mount makes their records suspect. The damage is reported, and sending the
//! chunks again repairs it. Undamaged bytes are read once and then trusted.

use std::os::unix::fs::FileExt;

use crate::common::{CUTS, TestStore, bytes, cut, die_in, dies_at, seeded_bytes, steps};
use chunked_upload::{Durability, Error, ErrorKind, Options, test_hooks};

/// Another boot.
fn reboot(tag: u32) {
    test_hooks::set_trust_tag(Some(Some(tag)));
}

fn damage(store: &TestStore, uid: &str, name: &str, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(store.path(uid, name)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn count(steps: &[&str], name: &str) -> usize {
    steps.iter().filter(|step| **step == name).count()
}

fn missing(error: Error) -> (u64, u64) {
    match error {
        Error::Incomplete { missing_count, first_missing, .. } => (missing_count, first_missing),
        other => panic!("{other}"),
    }
}

/// In order, and in reverse order, which off a grid needs a rewrite.
const ORDERS: [&[usize]; 2] = [&[0, 1, 2, 3], &[3, 2, 1, 0]];

#[test]
fn damage_before_completing_is_named_and_repaired() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    for offset in [450, 777] {
        damage(&store, &uid, "data", offset);
    }
    reboot(5);
    for _ in 0..2 {
        assert_eq!(missing(store.get(&uid).unwrap_err()), (2, 4));
    }
    store.send(&uid, &file, 100, 4).unwrap();
    assert_eq!(missing(store.get(&uid).unwrap_err()), (1, 7));
    assert!(store.send(&uid, &file, 100, 7).unwrap().received_all);
    assert_eq!(store.content(&uid), file);
}

#[test]
fn damage_after_completing_is_named_and_repaired() {
    let file = bytes(350);
    for order in ORDERS {
        let store = TestStore::new();
        test_hooks::set_trust_tag(None);
        let pieces = cut(&file, CUTS[1]);
        let uid = store.send_pieces(&pieces, order);
        assert_eq!(store.content(&uid), file);
        for offset in [95, 240] {
            damage(&store, &uid, "file", offset);
        }
        reboot(6);
        assert_eq!(missing(store.get(&uid).unwrap_err()), (2, 1), "{order:?}");
        assert_eq!(missing(store.get(&uid).unwrap_err()), (2, 1), "{order:?}");
        store.send_piece(&uid, &pieces, 3).unwrap();
        assert!(store.send_piece(&uid, &pieces, 1).unwrap().received_all);
        assert_eq!(store.content(&uid), file);
        reboot(7);
        assert_eq!(store.content(&uid), file, "and once more");
    }
}

/// After a repair chunks may have other sizes. The old chunks' places are not mistaken for a grid.
#[test]
fn a_rewritten_file_that_was_damaged_can_be_sent_with_other_cuts() {
    let file = bytes(350);
    let store = TestStore::new();
    // The chunk of 110 bytes comes first and fixes a grid that no other chunk fits.
    let pieces = cut(&file, CUTS[1]);
    let uid = store.send_pieces(&pieces, &[1, 0, 2, 3]);
    assert_eq!(store.content(&uid), file);
    for offset in [0, 95, 205, 300] {
        damage(&store, &uid, "file", offset);
    }
    reboot(8);
    assert_eq!(missing(store.get(&uid).unwrap_err()), (4, 0));
    let other = [&file[..110], &file[110..220], &file[220..330], &file[330..]];
    for number in [2, 0, 3] {
        store.send_piece(&uid, &other, number).unwrap();
    }
    assert!(store.send_piece(&uid, &other, 1).unwrap().received_all);
    assert_eq!(store.content(&uid), file);
}

/// One chunk of a rewritten file is damaged and replaced by a chunk that would fit the old grid. Its neighbours stay.
#[test]
fn a_repair_never_touches_the_neighbours() {
    let file = bytes(350);
    let store = TestStore::new();
    let pieces = cut(&file, CUTS[1]);
    let uid = store.send_pieces(&pieces, &[1, 0, 2, 3]);
    store.finished(&uid);
    damage(&store, &uid, "file", 205);
    reboot(9);
    assert_eq!(missing(store.get(&uid).unwrap_err()), (1, 2));
    let total = [&file[..90], &file[..110], &file[..110], &file[..40]];
    store.send_piece(&uid, &total, 2).unwrap();
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::SizeMismatch);
    store.send_piece(&uid, &pieces, 2).unwrap();
    assert_eq!(store.content(&uid), file);
}

#[test]
fn what_is_whole_is_read_once() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    reboot(10);
    let first = steps(|| assert_eq!(store.content(&uid), file));
    assert_eq!(count(&first, "check:passed"), 10);
    assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), 0);
    reboot(11);
    assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), 10, "after completing, too");
    for tag in [11, 12, 11] {
        reboot(tag);
        assert!(steps(|| assert_eq!(store.content(&uid), file)).is_empty(), "and synced then: once for all mounts");
    }
}

#[test]
fn a_check_that_was_killed_goes_on_where_it_stopped() {
    let file = bytes(1000);
    for complete in [false, true] {
        test_hooks::set_trust_tag(None);
        let store = TestStore::new();
        let uid = store.send_all(&file, 100);
        if complete {
            store.finished(&uid);
        }
        reboot(12);
        die_in("check:passed", 6, || drop(store.get(&uid)));
        assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), 3);
    }
}

/// A check of a finished file dies at any of its steps, with damage and without.
#[test]
fn a_check_may_die_anywhere() {
    let file = bytes(350);
    for order in ORDERS {
        for damaged in [false, true] {
            for step in 0.. {
                test_hooks::set_trust_tag(None);
                let store = TestStore::new();
                let pieces = cut(&file, CUTS[1]);
                let uid = store.send_pieces(&pieces, order);
                store.finished(&uid);
                if damaged {
                    damage(&store, &uid, "file", 95);
                }
                reboot(13);
                let died = dies_at(step, |_| {}, || drop(store.get(&uid)));
                if damaged {
                    assert_eq!(missing(store.get(&uid).unwrap_err()), (1, 1));
                    assert!(store.send_piece(&uid, &pieces, 1).unwrap().received_all);
                }
                assert_eq!(store.content(&uid), file);
                if !died {
                    assert!(step > 4);
                    break;
                }
            }
        }
    }
}

/// A repeat of a chunk whose record is suspect is written again, even if the bytes agree: the disk may have other bytes
/// than the page cache.
#[test]
fn a_repeat_of_a_suspect_chunk_is_written_again() {
    let file = bytes(1000);
    let store = TestStore::new();
    reboot(13);
    let uid = store.send_all(&file, 100);
    assert_eq!(
        count(
            &steps(|| {
                store.send(&uid, &file, 100, 3).unwrap();
            }),
            "receive:written"
        ),
        0
    );
    reboot(14);
    assert_eq!(
        count(
            &steps(|| {
                store.send(&uid, &file, 100, 3).unwrap();
            }),
            "receive:written"
        ),
        1
    );
    assert_eq!(
        count(
            &steps(|| {
                store.send(&uid, &file, 100, 3).unwrap();
            }),
            "receive:written"
        ),
        0
    );
}

/// A repeat is compared with the stored bytes, not with their checksum.
#[test]
fn a_repeat_finds_damage_that_the_record_does_not_show() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    damage(&store, &uid, "data", 350);
    store.send(&uid, &file, 100, 3).unwrap();
    assert_eq!(store.content(&uid), file);
}

/// If power loss damaged a finished file, the right bytes are no conflict.
#[test]
fn the_right_bytes_for_a_damaged_finished_file_repair_it() {
    let file = bytes(1000);
    let store = TestStore::new();
    reboot(14);
    let uid = store.send_all(&file, 100);
    store.finished(&uid);
    damage(&store, &uid, "file", 350);
    assert_eq!(store.send(&uid, &seeded_bytes(1000, 2), 100, 3).unwrap_err().kind(), ErrorKind::Conflict);
    reboot(15);
    assert!(store.send(&uid, &file, 100, 3).unwrap().received_all);
    assert_eq!(store.content(&uid), file);
}

/// Zeros, as ext4 and xfs show them after a forced shutdown; and a file cut short.
#[test]
fn lost_bytes_are_missing_chunks() {
    let file = bytes(1000);
    for (left, expected) in [(0, (10, 0)), (449, (6, 4))] {
        for complete in [false, true] {
            test_hooks::set_trust_tag(None);
            let store = TestStore::new();
            let uid = store.send_all(&file, 100);
            let path = if complete { store.finished(&uid).path } else { store.path(&uid, "data") };
            let handle = std::fs::File::options().write(true).open(path).unwrap();
            handle.set_len(left).unwrap();
            if left == 0 {
                handle.set_len(1000).unwrap();
            }
            reboot(16);
            assert_eq!(missing(store.get(&uid).unwrap_err()), expected);
            for number in 0..10 {
                store.send(&uid, &file, 100, number).unwrap();
            }
            assert_eq!(store.content(&uid), file);
        }
    }
}

/// The owner cuts a finished file within one boot. No wrong file is returned.
#[test]
fn a_finished_file_of_another_size_is_not_handed_out() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    std::fs::File::options().write(true).open(store.finished(&uid).path).unwrap().set_len(950).unwrap();
    assert_eq!(missing(store.get(&uid).unwrap_err()), (1, 9));
    store.send(&uid, &file, 100, 9).unwrap();
    assert_eq!(store.content(&uid), file);
}

/// A small `state` is made by one write. If blocks are smaller than that, power loss can keep a part.
#[test]
fn a_state_without_its_end_is_no_upload() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(350), 100);
    let state = std::fs::File::options().write(true).open(store.path(&uid, "state")).unwrap();
    state.set_len(600).unwrap();
    assert_eq!(store.get(&uid).unwrap_err().os_errno(), Some(libc::EBADMSG), "no power was lost");
    reboot(2);
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Power loss lost an upload's bytes before they were taken. All calls give the same answer, in any order.
#[test]
fn an_upload_that_lost_its_data_is_not_called_gone() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(350), 100);
    reboot(6);
    std::fs::remove_file(store.path(&uid, "data")).unwrap();
    for _ in 0..2 {
        let listed: Vec<_> = store.list().unwrap().collect();
        assert!(listed.is_empty(), "{listed:?}");
        assert_eq!(store.inspect(&uid, 0).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Where the kernel does not tell boot or mount, all calls work, and all bytes are read.
#[test]
fn without_a_tag_nothing_is_believed() {
    let file = bytes(1000);
    test_hooks::set_trust_tag(Some(None));
    for durability in [Durability::Process, Durability::Complete, Durability::Chunk] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let uid = store.send_all(&file, 100);
        let read = if durability == Durability::Chunk { 0 } else { 10 };
        assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), read);
        assert_eq!(store.send(&uid, &seeded_bytes(1000, 2), 100, 3).unwrap_err().kind(), ErrorKind::Conflict);
        store.send(&uid, &file, 100, 3).unwrap();
        // The refused chunk made the call read the file once more. It was synced then, and is never read again.
        assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), 0);
    }
}

/// Synced bytes are trusted after a reboot without being read.
#[test]
fn what_was_synced_need_not_be_read() {
    let file = bytes(1000);
    for durability in [Durability::Complete, Durability::Chunk] {
        test_hooks::set_trust_tag(None);
        let store = TestStore::with(Options { durability, ..Options::default() });
        let uid = store.send_all(&file, 100);
        if durability == Durability::Complete {
            store.finished(&uid);
        }
        reboot(17);
        assert_eq!(count(&steps(|| assert_eq!(store.content(&uid), file)), "check:passed"), 0, "{durability:?}");
    }
}

/// Power loss lost the rename of a rewritten file. A chunk finds the upload as `get` would.
#[test]
fn a_chunk_does_not_call_gone_what_get_would_bring_back() {
    let file = bytes(350);
    let store = TestStore::new();
    let pieces = cut(&file, CUTS[1]);
    let uid = store.send_pieces(&pieces, &[3, 2, 1, 0]);
    assert_eq!(store.content(&uid), file);
    std::fs::rename(store.path(&uid, "file"), store.path(&uid, "ordered")).unwrap();
    reboot(21);
    let sent = store.send_piece(&uid, &pieces, 1).map(|receipt| receipt.received_all);
    assert_eq!(store.content(&uid), file);
    assert!(sent.unwrap());
}

/// A finished file has one damaged chunk. Its check was killed when it had found that.
#[test]
fn verify_after_a_check_that_was_killed() {
    let file = bytes(1000);
    test_hooks::set_trust_tag(None);
    let store = TestStore::new();
    let uid = store.send_all(&file, 100);
    store.finished(&uid);
    damage(&store, &uid, "file", 250);
    reboot(14);
    assert_eq!(store.verify(&uid).unwrap().damaged_count, 1);
    die_in("check:cleared", 0, || drop(store.get(&uid)));
    assert_eq!(store.verify(&uid).unwrap().damaged_count, 1);
}

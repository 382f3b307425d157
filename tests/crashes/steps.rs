//! A process that dies at any step of any call.
//!
//! Each call runs in a child that kills itself at its first step, then at its second, and so on until the call
//! succeeds. After each death the upload must be right: no acknowledged chunk is lost, and `get` never returns a wrong
//! byte. Sending the other chunks again finishes it.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use crate::common::{CUTS, TestStore, bytes, cut, die_in, dies_at, entries, seeded_bytes};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Options, Store, test_hooks};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

/// An action on an upload, with its pieces.
type Step<'a> = &'a dyn Fn(&TestStore, &[&[u8]], &str);

/// For every level, every cut and every step of a call: `prepare` an upload, die in `call`, then `recover`.
fn at_every_step(prepare: &dyn Fn(&TestStore, &[&[u8]]) -> String, call: Step<'_>, recover: Step<'_>) {
    let file = bytes(350);
    for durability in LEVELS {
        for sizes in CUTS {
            let pieces = cut(&file, sizes);
            let mut deaths = 0;
            loop {
                let store = TestStore::with(Options { durability, ..Options::default() });
                let uid = prepare(&store, &pieces);
                let died = dies_at(deaths, |_| {}, || call(&store, &pieces, &uid));
                recover(&store, &pieces, &uid);
                if !died {
                    break;
                }
                deaths += 1;
            }
            assert!(deaths > 0, "the call has steps");
        }
    }
}

fn all_but(store: &TestStore, pieces: &[&[u8]], left_out: usize) -> String {
    let order: Vec<usize> = (0..pieces.len()).filter(|&number| number != left_out).collect();
    store.send_pieces(pieces, &order)
}

/// `get` returns the right bytes, or an error of this kind.
fn right_or(store: &Store, uid: &str, file: &[u8], kind: ErrorKind) {
    match store.get(uid) {
        Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), file),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}

#[test]
fn in_the_first_chunk() {
    let file = bytes(350);
    for durability in LEVELS {
        let mut step = 0;
        loop {
            let store = TestStore::with(Options { durability, ..Options::default() });
            let died = dies_at(
                step,
                |_| {},
                || {
                    store.send_piece("", &cut(&file, CUTS[0]), 1).unwrap();
                },
            );
            if !died {
                break;
            }
            // No client knows the uid. If one did, it would not find the upload before that is whole.
            for uid in entries(store.root()) {
                match store.get(&uid) {
                    Err(Error::NotFound { .. }) => {}
                    Err(Error::Incomplete { missing_count: 3, .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(store.content(&store.send_pieces(&cut(&file, CUTS[0]), &[1, 0, 3, 2])), file);
            step += 1;
        }
        assert!(step >= 3, "{step}");
    }
}

#[test]
fn in_a_new_chunk() {
    for number in [1, 3] {
        at_every_step(
            &|store, pieces| all_but(store, pieces, number),
            &|store, pieces, uid| {
                store.send_piece(uid, pieces, number).unwrap();
            },
            &|store, pieces, uid| {
                right_or(store, uid, &pieces.concat(), ErrorKind::Incomplete);
                assert!(store.send_piece(uid, pieces, number).unwrap().received_all);
                assert_eq!(store.content(uid), pieces.concat());
            },
        );
    }
}

/// The chunk whose replacement died is the old one, the new one, or missing; the others stay.
#[test]
fn in_a_replacing_chunk_of_the_same_size() {
    let others = seeded_bytes(350, 2);
    at_every_step(
        &|store, pieces| {
            let mut old = pieces.to_vec();
            old[1] = &others[..pieces[1].len()];
            store.send_pieces(&old, &[2, 1, 0, 3])
        },
        &|store, pieces, uid| {
            store.send_piece(uid, pieces, 1).unwrap();
        },
        &|store, pieces, uid| {
            match store.get(uid) {
                Err(Error::Incomplete { missing_count: 1, first_missing: 1, .. }) => {
                    assert!(store.send_piece(uid, pieces, 1).unwrap().received_all);
                    assert_eq!(store.content(uid), pieces.concat());
                }
                Ok(finished) => {
                    let mut old = pieces.to_vec();
                    old[1] = &others[..pieces[1].len()];
                    let content = std::fs::read(finished.path).unwrap();
                    assert!(content == pieces.concat() || content == old.concat());
                }
                Err(other) => panic!("{other}"),
            };
        },
    );
}

/// Death comes when half of the new bytes are over the old ones.
#[test]
fn within_the_bytes_of_a_replacing_chunk() {
    let (old, new) = (bytes(400), seeded_bytes(400, 2));
    for durability in LEVELS {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let uid = store.send_all(&old, 100);
        let data = store.path(&uid, "data");
        let mut within = 0;
        for step in 0.. {
            let (data, half, mark) = (data.clone(), new[100..150].to_vec(), store.dir.path().join("within"));
            let overwrite_half = move |name: &str| {
                if name == "receive:cleared" {
                    use std::os::unix::fs::FileExt;
                    let data = std::fs::File::options().write(true).open(&data).unwrap();
                    data.write_all_at(&half, 100).unwrap();
                    std::fs::write(&mark, "").unwrap();
                }
            };
            let died = dies_at(step, overwrite_half, || {
                store.send(&uid, &new, 100, 1).unwrap();
            });
            if std::fs::remove_file(store.dir.path().join("within")).is_ok() {
                within += 1;
                let error = store.get(&uid).unwrap_err();
                assert!(matches!(error, Error::Incomplete { missing_count: 1, first_missing: 1, .. }), "{error}");
                store.send(&uid, &old, 100, 1).unwrap();
            }
            if !died {
                break;
            }
            // Back to the old bytes for the next round, if the new ones were recorded.
            store.send(&uid, &old, 100, 1).unwrap();
        }
        assert_eq!(within, 1, "the step exists");
        assert_eq!(store.content(&uid), [&old[..100], &new[100..200], &old[200..]].concat());
    }
}

/// A chunk that grows goes to the tail; one that shrinks back finds its place on the grid again.
#[test]
fn in_a_chunk_that_changes_its_size() {
    let others = seeded_bytes(350, 2);
    for size in [1, 60, 105] {
        at_every_step(
            &|store, pieces| store.send_pieces(pieces, &[1, 3, 0, 2]),
            &|store, pieces, uid| {
                let mut odd = pieces.to_vec();
                odd[2] = &others[..size];
                let total = pieces.concat().len() as u64;
                let chunk = Chunk {
                    upload_uid: uid,
                    total_size: total,
                    chunk_number: 2,
                    chunk_count: 4,
                    content: odd[2],
                    ..Chunk::default()
                };
                store.handle_chunk(&chunk).unwrap();
            },
            &|store, pieces, uid| {
                let kind = match store.get(uid) {
                    Ok(finished) => {
                        assert_eq!(std::fs::read(finished.path).unwrap(), pieces.concat());
                        return;
                    }
                    Err(error) => error.kind(),
                };
                assert!([ErrorKind::Incomplete, ErrorKind::SizeMismatch].contains(&kind), "{kind:?}");
                assert!(store.send_piece(uid, pieces, 2).unwrap().received_all);
                assert_eq!(store.content(uid), pieces.concat());
            },
        );
    }
}

#[test]
fn in_get() {
    at_every_step(
        &|store, pieces| store.send_pieces(pieces, &[3, 1, 0, 2]),
        &|store, _, uid| {
            store.get(uid).unwrap();
        },
        &|store, pieces, uid| {
            assert_eq!(store.content(uid), pieces.concat());
            assert_eq!(entries(&store.root().join(uid)), ["file", "state"]);
            std::fs::remove_file(store.finished(uid).path).unwrap();
            assert_eq!(store.get(uid).unwrap_err().kind(), ErrorKind::Gone);
            assert_eq!(store.send_piece(uid, pieces, 0).unwrap_err().kind(), ErrorKind::Gone);
        },
    );
}

/// After a death in `get`, a chunk comes before the next `get`. The same bytes succeed. Other bytes are a conflict with
/// the finished file, or replace the chunk.
#[test]
fn in_get_before_a_chunk() {
    let others = seeded_bytes(350, 2);
    for number in [0, 2] {
        at_every_step(
            &|store, pieces| store.send_pieces(pieces, &[3, 1, 0, 2]),
            &|store, _, uid| {
                store.get(uid).unwrap();
            },
            &|store, pieces, uid| {
                assert!(store.send_piece(uid, pieces, number).unwrap().received_all);
                let mut other = pieces.to_vec();
                other[number] = &others[..pieces[number].len()];
                let expected = match store.send_piece(uid, &other, number) {
                    Ok(_) => other.concat(),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                        pieces.concat()
                    }
                };
                assert_eq!(store.content(uid), expected);
            },
        );
    }
}

/// A rewrite died half-way. Then a chunk after or before its progress is replaced by one of another size.
#[test]
fn a_chunk_replaced_after_a_rewrite_died() {
    let (file, others) = (bytes(350), seeded_bytes(350, 2));
    for (number, partner) in [(0, 3), (3, 0), (1, 2)] {
        for step in 0.. {
            let store = TestStore::new();
            let pieces = cut(&file, CUTS[1]);
            let uid = store.send_pieces(&pieces, &[3, 1, 0, 2]);
            let died = dies_at(
                step,
                |_| {},
                || {
                    store.get(&uid).unwrap();
                },
            );
            // One grows by what another loses.
            let mut other = pieces.clone();
            other[number] = &others[..pieces[number].len() - 10];
            other[partner] = &others[..pieces[partner].len() + 10];
            let replaced = store.send_piece(&uid, &other, number).and_then(|_| store.send_piece(&uid, &other, partner));
            match replaced {
                Ok(_) => assert_eq!(store.content(&uid), other.concat(), "step {step}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    assert_eq!(store.content(&uid), file);
                }
            }
            if !died {
                break;
            }
        }
    }
}

/// A rewrite does not begin again: copied chunks stay copied.
#[test]
fn a_rewrite_goes_on_where_it_stopped() {
    let file = bytes(350);
    let pieces = cut(&file, CUTS[1]);
    let store = TestStore::new();
    let uid = store.send_pieces(&pieces, &[3, 1, 0, 2]);
    let steps = |name: &'static str| {
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let hook = move |step: &'static str| {
            counted.set(counted.get() + usize::from(step == name));
            Ok(())
        };
        test_hooks::set_hook(Some(Rc::new(hook)));
        count
    };
    die_in("rewrite:recorded", 2, || drop(store.get(&uid)));
    let copied = steps("rewrite:copied");
    assert_eq!(store.content(&uid), file);
    // Where nothing is trusted, it begins again.
    let left = if crate::common::volume_is_told() { 1 } else { 4 };
    assert_eq!(copied.get(), left, "of four chunks three were copied before");
    test_hooks::set_hook(None);
}

/// The remains of an abandoned rewrite never become the finished file of an owner who has taken his.
#[test]
fn an_abandoned_rewrite_does_not_bring_a_taken_file_back() {
    let file = bytes(400);
    let even = cut(&file, &[100, 100, 100, 100]);
    let uneven = cut(&file, &[100, 110, 90, 100]);
    const NO_RECORD: [u8; 32] = [0; 32];
    let never_begun = || {
        let store = TestStore::new();
        let uid = store.send_pieces(&even, &[0]);
        std::fs::read(store.path(&uid, "state")).unwrap()[128..160].try_into().unwrap()
    };
    for (step, record, tag) in [
        // Before the first record of its progress, and after it.
        ("rewrite:copied", None, None),
        ("rewrite:recorded", None, None),
        // Begun by an earlier version, which did not record that no rewrite ever began.
        ("rewrite:copied", Some(NO_RECORD), None),
        // Power loss brought back the record that no rewrite ever began.
        ("rewrite:copied", Some(never_begun()), Some(Some(98))),
    ] {
        let store = TestStore::new();
        let uid = store.send_pieces(&even, &[0, 3]);
        store.send_piece(&uid, &uneven, 1).unwrap();
        store.send_piece(&uid, &uneven, 2).unwrap();
        die_in(step, 0, || drop(store.get(&uid)));
        assert!(entries(&store.root().join(&uid)).contains(&"ordered".to_string()));
        if let Some(record) = record {
            let state = std::fs::File::options().write(true).open(store.path(&uid, "state")).unwrap();
            state.write_all_at(&record, 128).unwrap();
        }
        test_hooks::set_trust_tag(tag);
        // The client sends even chunks now: no rewrite is needed any more.
        store.send_piece(&uid, &even, 1).unwrap();
        store.send_piece(&uid, &even, 2).unwrap();
        std::fs::remove_file(store.finished(&uid).path).unwrap();
        assert_eq!(entries(&store.root().join(&uid)), ["state"]);
        for tag in [tag, Some(Some(99))] {
            test_hooks::set_trust_tag(tag);
            assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
            assert_eq!(store.send_piece(&uid, &even, 1).unwrap_err().kind(), ErrorKind::Gone);
        }
        test_hooks::set_trust_tag(None);
    }
}

/// A dead completer's mark makes the next writer take the gate once, and is removed.
#[test]
fn behind_the_closing_mark() {
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let store = TestStore::new();
    let uid = store.send_pieces(&pieces, &[0, 1, 2, 3]);
    let closing = || std::fs::read(store.path(&uid, "state")).unwrap()[192];
    // A completer sets the mark only if another call holds a lock.
    let in_the_way = std::fs::File::options().write(true).open(store.path(&uid, "state")).unwrap();
    // SAFETY: zeros are a value of this structure, and the kernel keeps no pointer to it.
    unsafe {
        let mut slot: libc::flock = std::mem::zeroed();
        (slot.l_type, slot.l_len) = (libc::F_WRLCK as libc::c_short, 1);
        assert_eq!(libc::fcntl(in_the_way.as_raw_fd(), libc::F_OFD_SETLK, &slot), 0);
    }
    die_in("close:marked", 0, || drop(store.get(&uid)));
    drop(in_the_way);
    assert_eq!(closing(), 1);
    store.send_piece(&uid, &pieces, 1).unwrap();
    assert_eq!(closing(), 0);
    assert_eq!(store.content(&uid), file);
}

/// The hint that all chunks are there is corrected when a crash loses a chunk.
#[test]
fn received_all_is_not_said_while_a_replaced_chunk_is_missing() {
    let (file, others) = (bytes(2000), seeded_bytes(2000, 2));
    let store = TestStore::new();
    let uid = store.send_all(&file, 10);
    die_in("receive:cleared", 0, || drop(store.send(&uid, &others, 10, 3)));
    for number in [1, 150] {
        assert!(!store.send(&uid, &file, 10, number).unwrap().received_all);
    }
    assert!(store.send(&uid, &file, 10, 3).unwrap().received_all);
    assert_eq!(store.content(&uid), file);
}

//! Each cell of the protocol's table, every way to cut a file, and the files that are on disk at the end.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{TestStore, bytes, entries, seeded_bytes};
use chunked_upload::{Durability, Error, ErrorKind, Options};

fn kind<T>(result: chunked_upload::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

#[test]
fn chunks_in_any_order_become_the_file() {
    for durability in LEVELS {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let file = bytes(1000);
        let uid = store.first(&file, 100, 7);
        for number in [9, 0, 3, 8, 1, 2, 6, 5] {
            assert!(!store.send(&uid, &file, 100, number).unwrap().received_all);
        }
        assert!(store.send(&uid, &file, 100, 4).unwrap().received_all);
        let finished = store.finished(&uid);
        assert_eq!(std::fs::read(&finished.path).unwrap(), file);
        assert_eq!((finished.file_name.as_str(), finished.total_size), ("a.bin", 1000));
        assert!(finished.path.is_absolute());
        assert_eq!(store.finished(&uid), finished, "get is idempotent");
        assert_eq!(entries(&store.root().join(&uid)), ["file", "state"]);
    }
}

#[test]
fn every_way_to_cut_a_file_is_legal() {
    let file = bytes(100);
    let cuts: [&[usize]; 8] =
        [&[50, 50], &[40, 40, 20], &[30, 30, 40], &[50, 50, 0], &[1, 98, 1], &[0, 100], &[10, 20, 30, 40], &[100]];
    for durability in LEVELS {
        for cut in cuts {
            let mut rest = file.as_slice();
            let pieces: Vec<&[u8]> = cut.iter().map(|&size| rest.split_off(..size).unwrap()).collect();
            let forward: Vec<usize> = (0..pieces.len()).collect();
            let backward: Vec<usize> = forward.iter().rev().copied().collect();
            for order in [forward, backward] {
                let store = TestStore::with(Options { durability, ..Options::default() });
                let uid = store.send_pieces(&pieces, &order);
                assert_eq!(store.content(&uid), file, "{cut:?} {order:?}");
                assert_eq!(entries(&store.root().join(&uid)), ["file", "state"]);
                for number in order {
                    assert!(store.send_piece(&uid, &pieces, number).unwrap().received_all, "repeat of {cut:?}");
                }
            }
        }
    }
}

#[test]
fn an_empty_file_is_one_empty_chunk() {
    let store = TestStore::new();
    let uid = store.send_pieces(&[b""], &[0]);
    assert_eq!(store.content(&uid), b"");
    let uid = store.send_pieces(&[b"", b"", b""], &[2, 0, 1]);
    assert_eq!(store.content(&uid), b"");
}

#[test]
fn uneven_chunks_sent_in_order_end_up_in_place() {
    let store = TestStore::new();
    // The first chunk fits no grid: twice 60 is over 100.
    let uid = store.send_pieces(&[&bytes(60), &bytes(10), &bytes(30)], &[0, 1, 2]);
    let before = std::fs::metadata(store.path(&uid, "data")).unwrap().ino();
    let path = store.finished(&uid).path;
    assert_eq!(std::fs::metadata(path).unwrap().ino(), before, "the same file, renamed");
}

#[test]
fn a_chunk_replaces_the_one_before_it() {
    let store = TestStore::new();
    let (old, new) = (bytes(1000), seeded_bytes(1000, 2));
    let uid = store.send_all(&old, 100);
    for number in [3, 0, 9] {
        assert!(store.send(&uid, &new, 100, number).unwrap().received_all);
    }
    let mut expected = old.clone();
    for range in [300..400, 0..100, 900..1000] {
        expected[range.clone()].copy_from_slice(&new[range]);
    }
    assert_eq!(store.content(&uid), expected);
}

#[test]
fn chunks_that_do_not_add_up_are_repaired_by_sending_again() {
    let store = TestStore::new();
    let good: [&[u8]; 3] = [b"abcd", b"efgh", b"ij"];
    let short: [&[u8]; 3] = [b"abcd", b"ef", b"ijkl"]; // declares 10 as well
    let uid = store.send_pieces(&good, &[0]);
    store.send_piece(&uid, &short, 1).unwrap();
    assert!(store.send_piece(&uid, &good, 2).unwrap().received_all);
    for _ in 0..2 {
        let error = store.get(&uid).unwrap_err();
        assert!(matches!(error, Error::SizeMismatch { received_size: 8, declared_size: 10, .. }), "{error}");
    }
    store.send_piece(&uid, &good, 1).unwrap();
    assert_eq!(store.content(&uid), b"abcdefghij");
}

/// The first chunk suggests a grid that the others do not fit, and one of them is sent wrong at first.
#[test]
fn uneven_chunks_near_a_grid_can_be_repaired() {
    let store = TestStore::new();
    let file = bytes(410);
    let right = [&file[..100], &file[100..220], &file[220..305], &file[305..]];
    let mut wrong = right;
    wrong[1] = &file[100..210];
    let uid = store.send_pieces(&right, &[0]);
    let total = 410;
    for (number, content) in [(1, wrong[1]), (2, right[2]), (3, right[3]), (1, right[1])] {
        let chunk = chunked_upload::Chunk {
            upload_uid: &uid,
            total_size: total,
            chunk_number: number,
            chunk_count: 4,
            content,
            ..Default::default()
        };
        store.handle_chunk(&chunk).unwrap();
    }
    assert_eq!(store.content(&uid), file);
}

#[test]
fn get_names_what_is_missing() {
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.first(&file, 100, 5);
    for number in [0, 1, 2, 7] {
        store.send(&uid, &file, 100, number).unwrap();
    }
    let error = store.get(&uid).unwrap_err();
    assert!(matches!(error, Error::Incomplete { missing_count: 5, first_missing: 3, chunk_count: 10, .. }), "{error}");
}

#[test]
fn later_chunks_must_declare_the_same_totals() {
    let store = TestStore::new();
    let uid = store.first(&bytes(1000), 100, 0);
    let before = std::fs::read(store.path(&uid, "state")).unwrap();
    assert_eq!(kind(store.send(&uid, &bytes(999), 100, 1)), ErrorKind::Conflict);
    assert_eq!(kind(store.send(&uid, &bytes(1000), 50, 1)), ErrorKind::Conflict);
    assert_eq!(std::fs::read(store.path(&uid, "state")).unwrap(), before);
}

#[test]
fn a_finished_file_takes_the_same_bytes_and_no_others() {
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.send_all(&file, 300);
    store.finished(&uid);
    assert!(store.send(&uid, &file, 300, 3).unwrap().received_all);
    assert_eq!(kind(store.send(&uid, &seeded_bytes(1000, 2), 300, 3)), ErrorKind::Conflict);
    assert_eq!(store.content(&uid), file);
}

#[test]
fn a_file_that_was_taken_never_comes_back() {
    for durability in LEVELS {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let file = bytes(1000);
        let uid = store.send_all(&file, 300);
        std::fs::rename(store.finished(&uid).path, store.dir.path().join("taken")).unwrap();
        for number in 0..4 {
            assert_eq!(kind(store.send(&uid, &file, 300, number)), ErrorKind::Gone);
        }
        assert_eq!(kind(store.get(&uid)), ErrorKind::Gone);
        assert_eq!(entries(&store.root().join(&uid)), ["state"]);
        // The upload stays gone even when the file is put back.
        std::fs::rename(store.dir.path().join("taken"), store.path(&uid, "file")).unwrap();
        assert_eq!(kind(store.get(&uid)), ErrorKind::Gone);
        assert_eq!(kind(store.send(&uid, &file, 300, 0)), ErrorKind::Gone);
    }
}

#[test]
fn a_file_taken_out_of_an_upload_that_was_rewritten_never_comes_back() {
    let store = TestStore::new();
    let pieces: [&[u8]; 3] = [b"abc", b"defgh", b"ij"];
    let uid = store.send_pieces(&pieces, &[2, 1, 0]);
    std::fs::remove_file(store.finished(&uid).path).unwrap();
    assert_eq!(kind(store.send_piece(&uid, &pieces, 0)), ErrorKind::Gone);
    assert_eq!(kind(store.get(&uid)), ErrorKind::Gone);
}

/// Another program removed `data` and left the rest. Chunks and `get` give the same answer.
#[test]
fn an_upload_whose_data_was_taken_is_gone() {
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.first(&file, 300, 0);
    std::fs::remove_file(store.path(&uid, "data")).unwrap();
    assert_eq!(kind(store.get(&uid)), ErrorKind::Gone);
    assert_eq!(kind(store.send(&uid, &file, 300, 1)), ErrorKind::Gone);
    assert_eq!(entries(&store.root().join(&uid)), ["state"]);
}

#[test]
fn a_removed_upload_is_not_found() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(1000), 300);
    std::fs::remove_dir_all(store.root().join(&uid)).unwrap();
    assert_eq!(kind(store.get(&uid)), ErrorKind::NotFound);
    assert_eq!(kind(store.send(&uid, &bytes(1000), 300, 0)), ErrorKind::NotFound);
    assert!(entries(store.root()).is_empty());
}

#[test]
fn the_first_file_name_stands_verbatim() {
    let store = TestStore::new();
    for name in ["", "../../etc/passwd", "Grüße 日本\n\t.tif", &"x".repeat(4096), "C:\\a\\b"] {
        let chunk = chunked_upload::Chunk {
            file_name: name,
            total_size: 2,
            chunk_count: 2,
            content: b"a",
            ..Default::default()
        };
        let uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
        let later = chunked_upload::Chunk { upload_uid: &uid, file_name: "other", chunk_number: 1, ..chunk };
        store.handle_chunk(&later).unwrap();
        assert_eq!(store.finished(&uid).file_name, name);
    }
}

#[test]
fn modes_are_exact_and_the_prefix_is_used() {
    let options = Options { prefix: "upload_".into(), dir_mode: 0o2750, file_mode: 0o644, ..Options::default() };
    let store = TestStore::with(options);
    let uid = store.send_pieces(&[b"abc", b"defgh", b"ij"], &[2, 1, 0]);
    let dir = store.root().join(format!("upload_{uid}"));
    let path = store.finished(&uid).path;
    assert_eq!(path, dir.join("file"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(store.root()), mode(&dir)), (0o2750, 0o2750));
    assert_eq!((mode(&path), mode(&dir.join("state"))), (0o644, 0o600));
    assert_eq!(kind(store.reopened(Options::default()).get(&uid)), ErrorKind::NotFound, "another prefix");
}

#[test]
fn opening_creates_nothing_and_the_first_chunk_makes_the_root() {
    let store = TestStore::new();
    assert!(!store.root().exists());
    assert_eq!(kind(store.get(&"0".repeat(32))), ErrorKind::NotFound);
    assert!(!store.root().exists());
    let uid = store.send_all(&bytes(10), 10);
    std::fs::remove_dir_all(store.root()).unwrap();
    assert_eq!(kind(store.get(&uid)), ErrorKind::NotFound);
    store.send_all(&bytes(10), 10);
    assert_eq!(entries(store.root()).len(), 1);
}

#[test]
fn activity_moves_the_directory_s_time() {
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.send_all(&file, 300);
    let dir = std::fs::File::open(store.root().join(&uid)).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    let acts: [&dyn Fn(); 3] = [
        &|| {
            store.send(&uid, &file, 300, 1).unwrap();
        },
        &|| {
            store.finished(&uid);
        },
        &|| {
            store.send(&uid, &file, 300, 1).unwrap();
        },
    ];
    for act in acts {
        dir.set_modified(long_ago).unwrap();
        act();
        let idle = dir.metadata().unwrap().modified().unwrap().elapsed().unwrap();
        assert!(idle.as_secs() < 100, "{idle:?}");
    }
    // The time is updated at most once a second: a fresh time stays.
    let fresh = std::time::SystemTime::now() - std::time::Duration::from_millis(100);
    dir.set_modified(fresh).unwrap();
    store.finished(&uid);
    assert!(dir.metadata().unwrap().modified().unwrap() <= fresh + std::time::Duration::from_millis(1));
}

#[test]
fn a_higher_level_raises_the_upload_s() {
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.first(&file, 300, 0);
    let durable = store.reopened(Options { durability: Durability::Chunk, ..Options::default() });
    for number in 0..3 {
        crate::common::send(&durable, &uid, &file, 300, number).unwrap();
    }
    store.send(&uid, &file, 300, 3).unwrap();
    assert_eq!(store.content(&uid), file);
    let complete = store.reopened(Options { durability: Durability::Complete, ..Options::default() });
    assert_eq!(complete.get(&uid).unwrap(), durable.get(&uid).unwrap());
}

#[test]
fn data_never_passes_twice_the_file() {
    let store = TestStore::new();
    let total = 1000;
    let send = |uid: &str, number, content: &[u8]| {
        store.handle_chunk(&chunked_upload::Chunk {
            upload_uid: uid,
            total_size: total,
            chunk_number: number,
            chunk_count: 10,
            content,
            ..Default::default()
        })
    };
    let uid = send("", 0, &bytes(100)).unwrap().upload_uid.to_string();
    let data_size = || std::fs::metadata(store.path(&uid, "data")).unwrap().len();
    send(&uid, 2, &bytes(101)).unwrap();
    // The places that a growing chunk leaves are used again.
    for size in 101..=899 {
        send(&uid, 1, &bytes(size)).unwrap();
        assert!(data_size() <= 2 * total);
    }
    let error = send(&uid, 3, &bytes(101)).unwrap_err();
    assert!(data_size() <= 2 * total);
    assert!(matches!(error, Error::LimitExceeded { limit: "data_size", value: 2000, .. }), "{error}");
    // The stored chunks are untouched, and chunks on the grid still find their place.
    let file = bytes(1000);
    for number in 0..10 {
        send(&uid, number, &file[number as usize * 100..][..100]).unwrap();
    }
    assert_eq!(store.content(&uid), file);
}

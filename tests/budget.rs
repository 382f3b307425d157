//! A store's own limit: the sum of what is declared is never promised twice.

mod common;

use std::time::Duration;

use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Receipt, Result, Store};
use common::{TestStore, dies_at, entries, in_child};

fn limited(max_store_size: u64) -> TestStore {
    TestStore::with(Options { max_store_size, ..Options::default() })
}

/// The first of two chunks of an upload of `size` bytes.
fn begin(store: &Store, size: u64) -> Result<Receipt> {
    store.handle_chunk(&Chunk { total_size: size, chunk_count: 2, content: b"x", ..Chunk::default() })
}

fn whole(store: &Store, size: usize) -> String {
    let content = vec![7; size];
    let chunk = Chunk { total_size: size as u64, chunk_count: 1, content: &content, ..Chunk::default() };
    store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
}

fn full(store: &Store, size: u64) {
    match begin(store, size).unwrap_err() {
        Error::LimitExceeded { limit: "max_store_size", value: 1000, asked } => assert!(asked > 1000),
        error => panic!("{error}"),
    }
}

#[test]
fn declared_sizes_count_until_the_file_is_taken() {
    let store = limited(1000);
    let unfinished = begin(&store, 600).unwrap().upload_uid;
    let finished = whole(&store, 400);
    store.get(&finished).unwrap();
    full(&store, 2);
    // By a call of ours.
    store.remove(unfinished.as_str()).unwrap();
    begin(&store, 600).unwrap();
    full(&store, 2);
    store.move_to(&finished, store.dir.path().join("moved"), false).unwrap();
    let other = whole(&store, 400);
    full(&store, 2);
    // By its owner, and nobody told us.
    std::fs::remove_file(store.get(&other).unwrap().path).unwrap();
    begin(&store, 400).unwrap();
    full(&store, 2);
    assert_eq!(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().failed_count, 0);
    let all = begin(&store, 1000).unwrap().upload_uid;
    full(&store, 2);
    // By an outside cleaner.
    std::fs::remove_dir_all(store.root().join(all.as_str())).unwrap();
    begin(&store, 1000).unwrap();
}

/// What is repeated is not subtracted twice.
#[test]
fn a_repeated_move_makes_room_once() {
    let store = limited(1000);
    let (moved, other) = (whole(&store, 400), begin(&store, 500).unwrap().upload_uid);
    for _ in 0..3 {
        store.move_to(&moved, store.dir.path().join("moved"), false).unwrap();
    }
    begin(&store, 500).unwrap();
    full(&store, 2);
    store.remove(other.as_str()).unwrap();
    begin(&store, 500).unwrap();
    full(&store, 2);
}

#[test]
fn what_is_refused_promises_nothing() {
    let store = limited(1000);
    full(&store, 1001);
    assert_eq!(entries(store.root()), ["promised"]);
    begin(&store, 900).unwrap();
    for _ in 0..3 {
        full(&store, 200);
    }
    begin(&store, 100).unwrap();
    let unlimited = store.reopened(Options::default());
    begin(&unlimited, 5000).unwrap();
    full(&store, 2);
}

/// Uploads made without the limit count when the sum is counted anew; a sum that is missing or damaged is.
#[test]
fn a_sum_that_is_missing_is_counted() {
    let store = limited(1000);
    begin(&store.reopened(Options::default()), 300).unwrap();
    let promised = store.root().join("promised");
    begin(&store, 600).unwrap();
    for damage in [None, Some(&b""[..]), Some(&[0; 16]), Some(&[0xff; 16]), Some(b"more than it should be")] {
        match damage {
            None => std::fs::remove_file(&promised).unwrap(),
            Some(bytes) => std::fs::write(&promised, bytes).unwrap(),
        }
        full(&store, 101);
    }
    begin(&store, 100).unwrap();
}

/// Where the kernel tells no boot and no mount, each sum could be of another time: it is counted before it is used.
#[test]
fn a_sum_of_an_unknown_time_is_counted() {
    let store = limited(1000);
    chunked_upload::seam::set_trust_tag(Some(None));
    begin(&store, 300).unwrap();
    begin(&store.reopened(Options::default()), 600).unwrap();
    full(&store, 200);
    begin(&store, 100).unwrap();
    chunked_upload::seam::set_trust_tag(None);
}

/// Two processes that begin uploads at once never get more than the limit; all that is left is used.
#[test]
fn processes_together_keep_to_it() {
    for _ in 0..5 {
        let store = limited(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let status = in_child(|| {
                        for _ in 0..10 {
                            match begin(&store, 70) {
                                Ok(_) => {}
                                Err(error) => assert_eq!(error.kind(), ErrorKind::LimitExceeded),
                            }
                        }
                    });
                    assert!(status.success());
                });
            }
        });
        assert_eq!(store.list().unwrap().count(), 14, "14 times 70 is 980");
    }
}

/// Whoever dies, and wherever: the sum is never too low, and what died does not count for ever.
#[test]
fn a_death_never_makes_room_that_is_not_there() {
    type Call = fn(&TestStore, &str);
    let calls: [Call; 5] = [
        |store, _| assert!(begin(store, 300).is_ok()),
        |store, uid| store.remove(uid).unwrap(),
        |store, uid| drop(store.move_to(uid, store.dir.path().join("moved"), false).unwrap()),
        |store, _| drop(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap()),
        |store, _| {
            let chunk =
                Chunk { total_size: 300, chunk_count: 2, content: b"x", upload_key: &[b'k'; 16], ..Chunk::default() };
            store.handle_chunk(&chunk).unwrap();
        },
    ];
    for call in calls {
        for step in 0.. {
            let store = limited(1000);
            let uid = whole(&store, 400);
            let died = dies_at(step, |_| {}, || call(&store, &uid));
            let declared: u64 = {
                let phases = store.list().unwrap().map(|listed| listed.unwrap());
                phases.filter(|listed| listed.phase.name() != "gone").map(|listed| listed.total_size).sum()
            };
            while begin(&store, 50).is_ok() {}
            let after: u64 = store
                .list()
                .unwrap()
                .map(|l| l.unwrap())
                .filter(|l| l.phase.name() != "gone")
                .map(|l| l.total_size)
                .sum();
            assert!(after <= 1000, "step {step}: {declared} before, {after} now");
            store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
            begin(&store, 1000).unwrap();
            if !died {
                break;
            }
        }
    }
}

//! A store's own limits: no room is promised twice.

use std::time::Duration;

use crate::common::{TestStore, crc32c, dies_at, entries, in_child};
use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Receipt, Result, Store};

/// The unit in which these tests count disk space.
const UNIT: u64 = 10_000;
/// The disk space that an upload of few chunks takes besides its file: a directory and a `state`.
const BESIDES: u64 = 2 * 4096;

fn limited(max_store_size: u64) -> TestStore {
    TestStore::with(Options { max_store_size: max_store_size * UNIT, ..Options::default() })
}

/// The first of two chunks of an upload that takes `size` units.
fn begin(store: &Store, size: u64) -> Result<Receipt> {
    let total_size = size * UNIT - BESIDES;
    store.handle_chunk(&Chunk { total_size, chunk_count: 2, content: b"x", ..Chunk::default() })
}

fn whole(store: &Store, size: u64) -> String {
    let content = vec![7; (size * UNIT - BESIDES) as usize];
    let chunk = Chunk { total_size: content.len() as u64, chunk_count: 1, content: &content, ..Chunk::default() };
    store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
}

fn full(store: &Store, size: u64) {
    match begin(store, size).unwrap_err() {
        Error::LimitExceeded { limit: "max_store_size", value, asked } => {
            assert_eq!(value, 1000 * UNIT);
            assert!(asked > value);
        }
        error => panic!("{error}"),
    }
}

/// The disk space that all uploads in the store take.
fn taken(store: &Store) -> u64 {
    let listed = store.list().unwrap().map(|listed| listed.unwrap()).filter(|listed| listed.phase.name() != "gone");
    listed.map(|listed| listed.total_size + BESIDES).sum()
}

/// Sets the time of the last count.
fn set_counted_at(store: &Store, millis: u64) {
    let path = store.root().join("promised");
    let mut sum = std::fs::read(&path).unwrap();
    sum[16..24].copy_from_slice(&millis.to_le_bytes());
    let check = crc32c(&sum[..28]);
    sum[28..].copy_from_slice(&check.to_le_bytes());
    std::fs::write(path, sum).unwrap();
}

#[test]
fn declared_sizes_count_until_the_file_is_taken() {
    let store = limited(1000);
    let unfinished = begin(&store, 600).unwrap().upload_uid;
    let finished = whole(&store, 400);
    store.get(&finished).unwrap();
    full(&store, 2);
    // Removed by a call.
    store.remove(unfinished.as_str()).unwrap();
    begin(&store, 600).unwrap();
    full(&store, 2);
    store.move_to(&finished, store.dir.path().join("moved"), false).unwrap();
    let other = whole(&store, 400);
    full(&store, 2);
    // Its owner took the file without a call.
    std::fs::remove_file(store.get(&other).unwrap().path).unwrap();
    set_counted_at(&store, 0);
    begin(&store, 400).unwrap();
    full(&store, 2);
    assert_eq!(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().failed_count, 0);
    let all = begin(&store, 1000).unwrap().upload_uid;
    full(&store, 2);
    // Removed by a cleaner outside the library.
    std::fs::remove_dir_all(store.root().join(all.as_str())).unwrap();
    set_counted_at(&store, 0);
    begin(&store, 1000).unwrap();
}

/// A repeated call does not subtract an upload twice.
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
    assert!(entries(store.root()).is_empty());
    begin(&store, 900).unwrap();
    for _ in 0..3 {
        full(&store, 200);
    }
    begin(&store, 100).unwrap();
    let unlimited = store.reopened(Options::default());
    begin(&unlimited, 5000).unwrap();
    set_counted_at(&store, 0);
    full(&store, 2);
}

/// Uploads made without the limit count when the sum is counted again. A sum that is missing or damaged is counted
/// again.
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

/// Where the kernel tells neither boot nor mount, each sum could be of another boot. So it is counted again before use.
#[test]
fn a_sum_of_an_unknown_time_is_counted() {
    let store = limited(1000);
    chunked_upload::test_hooks::set_trust_tag(Some(None));
    begin(&store, 300).unwrap();
    begin(&store.reopened(Options::default()), 600).unwrap();
    full(&store, 200);
    begin(&store, 100).unwrap();
    chunked_upload::test_hooks::set_trust_tag(None);
}

/// Two processes that begin uploads at once never get more than the limit. All that is left is used.
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

/// Wherever a call dies, the sum is never too low, and the dead call's upload does not count for ever.
#[test]
fn a_death_never_makes_room_that_is_not_there() {
    type Call = fn(&TestStore, &str);
    let calls: [Call; 5] = [
        |store, _| assert!(begin(store, 300).is_ok()),
        |store, uid| store.remove(uid).unwrap(),
        |store, uid| drop(store.move_to(uid, store.dir.path().join("moved"), false).unwrap()),
        |store, _| drop(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap()),
        |store, _| {
            let chunk = Chunk {
                total_size: 300 * UNIT,
                chunk_count: 2,
                content: b"x",
                upload_key: &[b'k'; 16],
                ..Chunk::default()
            };
            store.handle_chunk(&chunk).unwrap();
        },
    ];
    for call in calls {
        for step in 0.. {
            let store = limited(1000);
            let uid = whole(&store, 400);
            let died = dies_at(step, |_| {}, || call(&store, &uid));
            let before = taken(&store);
            while begin(&store, 50).is_ok() {}
            assert!(taken(&store) <= 1000 * UNIT, "step {step}: {before} before, {} now", taken(&store));
            store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
            set_counted_at(&store, 0);
            begin(&store, 1000).unwrap();
            if !died {
                break;
            }
        }
    }
}

/// Uploads without a byte take disk, too: a directory, a `state`, and 32 bytes for each chunk.
#[test]
fn uploads_of_nothing_count_what_they_take() {
    let store = TestStore::with(Options { max_store_size: 1 << 20, ..Options::default() });
    let empty = |chunk_count| store.handle_chunk(&Chunk { chunk_count, ..Chunk::default() });
    let large = empty(10_000).unwrap().upload_uid;
    let begun = (0..1000).take_while(|_| empty(2).is_ok()).count() as u64;
    // 320,512 bytes are 79 blocks.
    assert_eq!(begun, ((1 << 20) - 80 * 4096) / BESIDES);
    let blocks = |path: &std::path::Path| std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap()) * 512;
    let directories = entries(store.root()).into_iter().filter(|name| name != "promised");
    let taken: u64 = directories.map(|uid| blocks(&store.root().join(&uid)) + blocks(&store.path(&uid, "state"))).sum();
    assert!(taken <= 1 << 20, "{taken}");
    store.remove(large.as_str()).unwrap();
    assert_eq!((0..1000).take_while(|_| empty(2).is_ok()).count(), 40);
}

fn too_many(store: &Store, value: u64) {
    match begin(store, 2).unwrap_err() {
        Error::LimitExceeded { limit: "max_uploads", value: limit, asked } => {
            assert_eq!((limit, asked), (value, value + 1))
        }
        error => panic!("{error}"),
    }
}

/// The number of uploads is limited over all owners, handles and processes, with and without a limit of their size.
#[test]
fn uploads_are_counted_until_the_file_is_taken() {
    for max_store_size in [0, 1 << 40] {
        let options = Options { max_uploads: 4, max_store_size, ..Options::default() };
        let store = TestStore::with(options);
        let finished = whole(&store, 2);
        let one = begin(&store, 2).unwrap().upload_uid;
        let owned = store.for_owner(b"an owner").unwrap();
        begin(&owned, 2).unwrap();
        assert!(in_child(|| assert!(begin(&store, 2).is_ok())).success());
        too_many(&store, 4);
        too_many(&owned, 4);
        // Another chunk of an existing upload needs no room.
        store.send_content(one.as_str(), (2 * UNIT - BESIDES) as usize, 2, 1, b"y");
        store.move_to(&finished, store.dir.path().join("moved"), false).unwrap();
        begin(&owned, 2).unwrap();
        too_many(&store, 4);
        store.remove(one.as_str()).unwrap();
        let other = whole(&store, 2);
        too_many(&owned, 4);
        // Its owner took the file without a call.
        std::fs::remove_file(store.get(&other).unwrap().path).unwrap();
        set_counted_at(&store, 0);
        begin(&store, 2).unwrap();
        too_many(&store, 4);
    }
}

#[test]
fn processes_together_keep_to_the_number() {
    let store = TestStore::with(Options { max_uploads: 10, ..Options::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let status = in_child(|| {
                    for _ in 0..10 {
                        let _ = begin(&store, 2);
                    }
                });
                assert!(status.success());
            });
        }
    });
    assert_eq!(store.list().unwrap().count(), 10);
}

/// Not each refused upload causes a count: counting would delay every first chunk.
#[test]
fn uploads_are_counted_at_most_once_a_second() {
    let store = limited(1000);
    for _ in 0..9 {
        begin(&store, 100).unwrap();
    }
    // A count finds room that no call has made.
    let all = begin(&store, 100).unwrap().upload_uid;
    std::fs::remove_dir_all(store.root().join(all.as_str())).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    set_counted_at(&store, now);
    full(&store, 100);
    // If an upload is too large by itself, the others are not counted.
    std::fs::write(store.root().join("promised"), b"not looked at").unwrap();
    full(&store, 1001);
    assert_eq!(std::fs::read(store.root().join("promised")).unwrap(), b"not looked at");
    for counted_at in [0, now + 3_600_000, u64::MAX] {
        let all = begin(&store, 100).unwrap().upload_uid;
        std::fs::remove_dir_all(store.root().join(all.as_str())).unwrap();
        // The last count is long ago, or in the future because the clock was set back: the store is counted again.
        set_counted_at(&store, counted_at);
        let other = begin(&store, 100).unwrap().upload_uid;
        full(&store, 2);
        store.remove(other.as_str()).unwrap();
    }
    let all = begin(&store, 100).unwrap().upload_uid;
    full(&store, 2);
    std::fs::remove_dir_all(store.root().join(all.as_str())).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    begin(&store, 100).unwrap();
}

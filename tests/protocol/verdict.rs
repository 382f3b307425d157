//! The phases that `inspect`, `cleanup` and the store's sum give an upload agree with `get`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::shim::{Fault, OPEN, Shim};
use crate::common::{CUTS, TestStore, bytes, cut};
use chunked_upload::{Chunk, ErrorKind, Expiry, Options, Phase, Store, test_hooks};

/// A sparse table: reading it keeps `inspect` busy between opening the upload and looking at its files.
const MANY: u64 = 60_000_000;

fn large(store: &TestStore) -> String {
    store
        .handle_chunk(&Chunk { total_size: MANY, chunk_count: MANY, content: b"x", ..Chunk::default() })
        .unwrap()
        .upload_uid
        .to_string()
}

fn open_large() -> TestStore {
    TestStore::with(Options { max_chunk_count: 0, ..Options::default() })
}

/// `remove` comes while `inspect` reads the table. The file was never taken.
#[test]
fn what_is_being_removed_is_not_gone() {
    let store = open_large();
    let uid = large(&store);
    let (looking, looked) = channel::<()>();
    let other: Store = store.store.clone();
    let id = uid.clone();
    let inspector = std::thread::spawn(move || {
        let answer = other.inspect(&id, 0);
        looking.send(()).unwrap();
        answer.map(|inspection| inspection.phase)
    });
    std::thread::sleep(Duration::from_millis(300)); // `inspect` has opened the upload, and reads the table
    let (first, wait) = (Cell::new(true), looked);
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "remove:file" && first.replace(false) {
            wait.recv().unwrap(); // `data` is removed, `state` not yet
        }
        Ok(())
    })));
    store.remove(&uid).unwrap();
    test_hooks::set_hook(None);
    let answer = inspector.join().unwrap();
    assert!(answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound), "{answer:?}");
}

/// `get` finds that power loss lost everything, while `inspect` runs.
#[test]
fn what_get_has_just_found_lost_is_not_gone() {
    let store = open_large();
    let uid = large(&store);
    std::fs::remove_file(store.path(&uid, "data")).unwrap();
    let other: Store = store.store.clone();
    let id = uid.clone();
    let inspector = std::thread::spawn(move || {
        test_hooks::set_trust_tag(Some(Some(6)));
        other.inspect(&id, 0).map(|inspection| inspection.phase)
    });
    std::thread::sleep(Duration::from_millis(300));
    test_hooks::set_trust_tag(Some(Some(6)));
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
    let answer = inspector.join().unwrap();
    assert!(answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound), "{answer:?}");
}

/// Power loss lost the rename of a rewritten file: the upload is still receiving.
#[test]
fn a_cleanup_of_what_is_gone_leaves_what_get_would_bring_back() {
    let file = bytes(350);
    let store = TestStore::new();
    let uid = store.send_pieces(&cut(&file, CUTS[1]), &[3, 2, 1, 0]);
    assert_eq!(store.content(&uid), file);
    std::fs::rename(store.path(&uid, "file"), store.path(&uid, "ordered")).unwrap();
    test_hooks::set_trust_tag(Some(Some(21)));
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Receiving);
    let expiry = Expiry { unfinished: None, finished: None, ..Expiry::older_than(Duration::ZERO) };
    let cleaned = store.cleanup(&expiry).unwrap();
    assert!(cleaned.removed.is_empty(), "{cleaned:?}");
    assert_eq!(store.content(&uid), file);
}

#[test]
fn the_sum_holds_what_get_would_bring_back() {
    let store = TestStore::with(Options { max_store_size: 1000 + 2 * 4096, ..Options::default() });
    let content = bytes(800);
    let chunk = Chunk { total_size: 800, chunk_count: 1, content: &content, ..Chunk::default() };
    let uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
    store.finished(&uid);
    std::fs::rename(store.path(&uid, "file"), store.path(&uid, "data")).unwrap();
    test_hooks::set_trust_tag(Some(Some(21)));
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Receiving);
    let second = store.handle_chunk(&chunk);
    assert_eq!(store.content(&uid), content);
    assert!(second.is_err(), "800 + 800 > 1000, and both are there");
}

/// A store that is full stays full when the process has no descriptors left.
#[test]
fn a_count_that_failed_lets_nobody_in() {
    let Some(shim) = Shim::load() else { return };
    let content = bytes(800);
    let chunk = Chunk { total_size: 800, chunk_count: 1, content: &content, ..Chunk::default() };
    for nth in 1..30 {
        let store = TestStore::with(Options { max_store_size: 1000 + 2 * 4096, ..Options::default() });
        store.handle_chunk(&chunk).unwrap();
        assert_eq!(store.handle_chunk(&chunk).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let fault = Fault { errno: libc::EMFILE, kinds: OPEN, lasting: false };
        let (answer, failed) = shim.with(nth, fault, || store.handle_chunk(&chunk).map(|_| ()));
        if failed.is_none() {
            break;
        }
        let then = store.handle_chunk(&chunk).map(|_| ());
        assert!(answer.is_err() && then.is_err(), "open {nth}: {answer:?}, then {then:?}");
    }
}

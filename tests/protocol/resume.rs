//! The answers of `inspect` and `list`, which take no lock.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::common::{CUTS, TestStore, bytes, cut, entries};
use chunked_upload::{Chunk, ErrorKind, MAX_RANGES, Phase, test_hooks};

#[test]
fn an_inspection_tells_what_a_client_needs_to_go_on() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let uid = store.send_pieces(&pieces, &[2]);
    let before = SystemTime::now() - Duration::from_secs(10);
    let seen = store.inspect(&uid, 0).unwrap();
    assert_eq!((seen.uid.as_str(), seen.file_name.as_str()), (uid.as_str(), "a.bin"));
    assert_eq!((seen.total_size, seen.chunk_count, seen.received_size, seen.received_count), (350, 4, 100, 1));
    assert_eq!((&seen.missing[..], seen.next_chunk, seen.phase), (&[0..2, 3..4][..], None, Phase::Receiving));
    assert!(seen.last_activity > before && seen.last_activity <= SystemTime::now() + Duration::from_secs(1));
    assert_eq!(store.inspect(&uid, 1).unwrap().missing, [1..2, 3..4]);
    assert_eq!(store.inspect(&uid, u64::MAX).unwrap().missing, []);
    for number in [0, 1, 3] {
        store.send_piece(&uid, &pieces, number).unwrap();
    }
    let all = store.inspect(&uid, 0).unwrap();
    assert_eq!((all.received_size, all.missing.len(), all.phase), (350, 0, Phase::Receiving), "not asked for yet");
    let path = store.get(&uid).unwrap().path;
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Complete);
    std::fs::remove_file(path).unwrap();
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Gone, "before a call noticed");
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Gone);
    for bad in ["", "x", "00000000000040008000000000000000"] {
        assert_eq!(store.inspect(bad, 0).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn many_gaps_come_in_pages() {
    let store = TestStore::new();
    let count = 2 * (2 * MAX_RANGES as u64 + 50);
    let mut uid = String::new();
    for number in (1..count).step_by(2) {
        let chunk = Chunk {
            upload_uid: &uid,
            total_size: count,
            chunk_number: number,
            chunk_count: count,
            content: b"x",
            ..Chunk::default()
        };
        uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
    }
    let (mut missing, mut from, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(chunk) = from {
        let page = store.inspect(&uid, chunk).unwrap();
        assert!(page.missing.len() <= MAX_RANGES);
        assert_eq!((page.received_count, page.received_size), (count / 2, count / 2), "of the whole upload");
        missing.extend(page.missing);
        (from, pages) = (page.next_chunk, pages + 1);
    }
    assert_eq!(pages, 3);
    assert_eq!(missing, (0..count).step_by(2).map(|number| number..number + 1).collect::<Vec<_>>());
}

/// A completer holds every lock. `inspect` does not wait for it, at any of its steps, and changes nothing.
#[test]
fn inspecting_takes_no_lock() {
    for sizes in CUTS {
        let store = Rc::new(TestStore::new());
        let file = bytes(350);
        let uid = store.send_pieces(&cut(&file, sizes), &[3, 1, 0, 2]);
        let (other, name, steps) = (store.store.clone(), uid.clone(), Rc::new(Cell::new(0)));
        let count = steps.clone();
        test_hooks::set_hook(Some(Rc::new(move |_| {
            let seen = other.inspect(&name, 0).unwrap();
            assert_eq!(seen.received_count, 4);
            assert_ne!(seen.phase, Phase::Gone);
            assert_eq!(other.list().unwrap().count(), 1);
            count.set(count.get() + 1);
            Ok(())
        })));
        store.get(&uid).unwrap();
        test_hooks::set_hook(None);
        assert!(steps.get() >= 4, "{}", steps.get());
        assert_eq!(store.content(&uid), file);
    }
}

#[test]
fn a_list_holds_the_uploads_and_nothing_else() {
    let store = TestStore::new();
    assert_eq!(store.list().unwrap().count(), 0, "of a store that does not exist");
    let file = bytes(350);
    let receiving = store.first(&file, 100, 1);
    let complete = store.send_all(&file, 100);
    store.get(&complete).unwrap();
    let gone = store.send_all(&file, 100);
    std::fs::remove_file(store.get(&gone).unwrap().path).unwrap();
    let root = store.root();
    std::fs::create_dir(root.join("0123456789abcdef0123456789abcdef")).unwrap();
    std::fs::create_dir(root.join("not an upload")).unwrap();
    std::fs::write(root.join("00000000000000000000000000000000"), b"a file").unwrap();
    std::os::unix::fs::symlink(root.join(&receiving), root.join("11111111111111111111111111111111")).unwrap();
    std::fs::write(root.join("secret"), b"").unwrap();
    let before = entries(root);
    let mut listed: Vec<_> = store.list().unwrap().map(|listed| listed.unwrap()).collect();
    listed.sort_by_key(|listed| listed.phase as u8);
    let seen: Vec<_> = listed.iter().map(|l| (l.uid.to_string(), l.phase, l.total_size, l.chunk_count)).collect();
    let expected = [(receiving, Phase::Receiving), (complete, Phase::Complete), (gone, Phase::Gone)];
    assert_eq!(seen, expected.map(|(uid, phase)| (uid, phase, 350, 4)));
    assert!(listed.iter().all(|listed| listed.file_name == "a.bin"));
    assert_eq!(entries(root), before);
}

/// An upload that cannot be read is an error in its place, and the others follow.
#[test]
fn a_list_goes_on_behind_a_damaged_upload() {
    let store = TestStore::new();
    let uids: Vec<String> = (0..3).map(|_| store.first(&bytes(350), 100, 0)).collect();
    std::fs::write(store.path(&uids[1], "state"), b"garbage").unwrap();
    let listed: Vec<_> = store.list().unwrap().collect();
    assert_eq!(listed.iter().filter(|listed| listed.is_ok()).count(), 2);
    let error = listed.into_iter().find_map(Result::err).unwrap();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EBADMSG)));
}

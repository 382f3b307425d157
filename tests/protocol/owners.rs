//! An upload of one owner does not exist for another.

use std::time::Duration;

use crate::common::{TestStore, bytes, send};
use chunked_upload::{Chunk, ErrorKind, Expiry, MAX_OWNER, Options, Store};

/// The answers of every call of a handle about a uid.
fn answers(store: &Store, uid: &str, elsewhere: &std::path::Path) -> Vec<String> {
    let file = bytes(350);
    let show = |error: chunked_upload::Error| format!("{:?} {error}", error.kind());
    vec![
        show(send(store, uid, &file, 100, 1).unwrap_err()),
        show(send(store, uid, &file[..100], 100, 0).unwrap_err()),
        show(store.get(uid).unwrap_err()),
        show(store.inspect(uid, 0).unwrap_err()),
        show(store.verify(uid).unwrap_err()),
        show(store.move_to(uid, elsewhere, true).unwrap_err()),
        show(store.remove(uid).unwrap_err()),
    ]
}

#[test]
fn somebody_elses_upload_is_like_an_unknown_one() {
    let store = TestStore::new();
    let (ann, bob) = (store.for_owner(b"ann").unwrap(), store.for_owner(b"bob").unwrap());
    let all = store.reopened(Options { all_owners: true, ..Options::default() });
    let elsewhere = store.dir.path().join("elsewhere");
    let file = bytes(350);
    let anns = send(&ann, "", &file, 100, 0).unwrap().upload_uid;
    let nobodys = store.send_all(&file, 100);
    for (handle, uid) in [(&bob, anns.as_str()), (&store.store, anns.as_str()), (&ann, &nobodys), (&bob, &nobodys)] {
        let directory = store.root().join(uid);
        let before = directory.metadata().unwrap().modified().unwrap();
        let foreign = answers(handle, uid, &elsewhere);
        let unknown: Vec<String> = answers(handle, "00000000000040008000000000000000", &elsewhere)
            .iter()
            .map(|answer| answer.replace("00000000", &uid[..8]))
            .collect();
        assert_eq!(foreign, unknown);
        assert!(foreign[0].starts_with("NotFound"), "{}", foreign[0]);
        assert_eq!(directory.metadata().unwrap().modified().unwrap(), before, "not even touched");
    }
    let listed =
        |store: &Store| store.list().unwrap().map(|listed| listed.unwrap().uid.to_string()).collect::<Vec<_>>();
    assert_eq!((listed(&ann), listed(&bob), listed(&store)), (vec![anns.to_string()], vec![], vec![nobodys.clone()]));
    assert_eq!(listed(&all).len(), 2);
    for number in 1..4 {
        let uid = send(if number == 3 { &all } else { &ann }, anns.as_str(), &file, 100, number).unwrap().upload_uid;
        assert_eq!(uid, anns);
    }
    assert_eq!(std::fs::read(all.get(anns.as_str()).unwrap().path).unwrap(), file);
    assert_eq!(std::fs::read(ann.get(anns.as_str()).unwrap().path).unwrap(), file);
}

#[test]
fn a_cleanup_removes_what_its_handle_sees() {
    let store = TestStore::new();
    let (ann, bob) = (store.for_owner(b"ann").unwrap(), store.for_owner(b"bob").unwrap());
    let everything = Expiry::older_than(Duration::ZERO);
    for handle in [&ann, &bob, &store.store] {
        send(handle, "", &bytes(350), 100, 0).unwrap();
    }
    std::fs::create_dir(store.root().join("00000000000040008000000000000000")).unwrap();
    assert_eq!(bob.cleanup(&everything).unwrap().removed.len(), 1);
    assert_eq!(store.cleanup(&everything).unwrap().removed.len(), 2, "its own, and what crashes left");
    assert_eq!(ann.list().unwrap().count(), 1);
    let all = store.reopened(Options { all_owners: true, ..Options::default() });
    assert_eq!(all.cleanup(&everything).unwrap().removed.len(), 1);
}

#[test]
fn the_owner_is_nowhere_on_the_disk() {
    let store = TestStore::new();
    let owner = b"ann.the.owner@example.org";
    let ann = store.for_owner(owner).unwrap();
    let chunk = Chunk { upload_key: b"k", total_size: 1, chunk_count: 1, content: b"x", ..Chunk::default() };
    let uids = [ann.handle_chunk(&chunk).unwrap().upload_uid, send(&ann, "", b"y", 1, 0).unwrap().upload_uid];
    let mut recorded = Vec::new();
    for uid in uids {
        let state = std::fs::read(store.path(uid.as_str(), "state")).unwrap();
        assert!(!state.windows(owner.len()).any(|window| window == owner));
        recorded.push(state[256..288].to_vec());
    }
    assert_ne!(recorded[0], recorded[1], "two uploads do not show that they have the same owner");
    assert!(!format!("{ann:?}").contains("ann.the.owner"));
}

#[test]
fn what_is_no_owner_is_refused() {
    let store = TestStore::new();
    for bad in [&b""[..], &vec![b'x'; MAX_OWNER + 1]] {
        assert_eq!(store.for_owner(bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(store.for_owner(&vec![b'x'; MAX_OWNER]).is_ok());
    assert_eq!(store.for_owner(b"\0").unwrap().owner(), Some(&b"\0"[..]), "any bytes");
    assert_eq!(store.owner(), None);
}

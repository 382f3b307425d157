//! Uploads that clients name themselves: retried and simultaneous first chunks join one upload.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{CUTS, TestStore, bytes, cut, dies_at, entries, join};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Expiry, Options, Receipt, Result, Store, test_hooks};

const KEY: &[u8] = b"sixteen bytes or more";

fn send(store: &Store, key: &[u8], pieces: &[&[u8]], number: usize) -> Result<Receipt> {
    store.handle_chunk(&Chunk {
        upload_key: key,
        file_name: "a.bin",
        total_size: pieces.iter().map(|piece| piece.len() as u64).sum(),
        chunk_number: number as u64,
        chunk_count: pieces.len() as u64,
        content: pieces[number],
        ..Chunk::default()
    })
}

/// The directories of uploads, including leftovers.
fn uploads(store: &Store) -> Vec<String> {
    entries(store.root()).into_iter().filter(|name| name != "secret" && name != "secret.new").collect()
}

#[test]
fn every_chunk_with_the_same_key_belongs_to_one_upload() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let uid = store.uid_for_key(KEY).unwrap();
    assert_eq!(uploads(&store), [""; 0], "no upload yet");
    assert_eq!(store.inspect(uid.as_str(), 0).unwrap_err().kind(), ErrorKind::NotFound);
    for number in [2, 2, 0, 3, 0] {
        assert_eq!(send(&store, KEY, &pieces, number).unwrap().upload_uid, uid);
    }
    let last = store.send_piece(uid.as_str(), &pieces, 1).unwrap();
    assert!(last.received_all && last.upload_uid == uid, "the uid serves as well");
    assert_eq!(uploads(&store), [uid.as_str()]);
    assert_eq!(store.content(uid.as_str()), file);
    assert_ne!(send(&store, b"another key of 16", &pieces, 0).unwrap().upload_uid, uid);
    let error = send(&store, KEY, &pieces[..2], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "other totals");
}

/// A finished upload with the key. Power loss lost only its name, so it is no upload.
fn without_its_name(pieces: &[&[u8]]) -> TestStore {
    let store = TestStore::new();
    let uid = send(&store, KEY, pieces, 0).unwrap().upload_uid;
    store.get(uid.as_str()).unwrap();
    let state = std::fs::File::options().write(true).open(store.path(uid.as_str(), "state")).unwrap();
    state.write_all_at(&[0; 5], 512).unwrap();
    test_hooks::set_trust_tag(Some(Some(99)));
    assert_eq!(store.get(uid.as_str()).unwrap_err().kind(), ErrorKind::NotFound);
    store
}

/// At no moment of its removal must it look like an upload whose file was taken.
#[test]
fn a_lost_upload_is_in_nobody_s_way_while_it_is_removed() {
    let file = bytes(100);
    let pieces = [file.as_slice()];
    let everything = Expiry::older_than(Duration::ZERO);
    let ways: [&dyn Fn(&Store); 2] =
        [&|store| drop(send(store, KEY, &pieces, 0)), &|store| drop(store.cleanup(&everything))];
    for remove in ways {
        for step in 0.. {
            let store = without_its_name(&pieces);
            let died = dies_at(step, |_| {}, || remove(&store));
            let answer = send(&store, KEY, &pieces, 0).unwrap();
            assert_eq!(store.content(answer.upload_uid.as_str()), file, "step {step}");
            test_hooks::set_trust_tag(None);
            if !died {
                assert!(step >= 4, "a file is removed at each");
                break;
            }
        }
    }
}

#[test]
fn two_begin_anew_at_once_in_place_of_a_lost_upload() {
    let file = bytes(100);
    for step in 0..4_i32 {
        let store = without_its_name(&[&file]);
        let (second, answer) = (store.store.clone(), Rc::new(RefCell::new(None)));
        let (other, content, left) = (answer.clone(), file.clone(), Cell::new(step));
        test_hooks::set_hook(Some(Rc::new(move |name| {
            if name == "remove:file" {
                let now = left.replace(left.get() - 1) == 0;
                if now {
                    *other.borrow_mut() = Some(send(&second, KEY, &[&content], 0));
                }
            }
            Ok(())
        })));
        let first = send(&store, KEY, &[&file], 0).unwrap();
        test_hooks::set_hook(None);
        test_hooks::set_trust_tag(None);
        let second = answer.take().expect("it came between").unwrap();
        assert_eq!(first.upload_uid, second.upload_uid, "after removal {step}");
        assert_eq!(store.content(first.upload_uid.as_str()), file);
    }
}

/// A call that joins has the upload synced, and raises its level. The maker ends later, and has a lower level.
#[test]
fn a_maker_does_not_lower_the_level_of_who_joined() {
    let file = bytes(100);
    let store = TestStore::with(Options { durability: Durability::Complete, ..Options::default() });
    let joiner = store.reopened(Options { durability: Durability::Chunk, ..Options::default() });
    const LEVEL_AT: usize = 193;
    let state = store.path(store.uid_for_key(KEY).unwrap().as_str(), "state");
    let level = {
        let state = state.clone();
        move || std::fs::read(&state).unwrap()[LEVEL_AT]
    };
    let (content, joins) = (file.clone(), Rc::new(std::cell::Cell::new(None)));
    let (joined, raised) = (joins.clone(), level.clone());
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "create:renamed" {
            let (joiner, content) = (joiner.clone(), content.clone());
            joined.set(Some(std::thread::spawn(move || send(&joiner, KEY, &[&content], 0).map(drop))));
            // The joiner ends when the maker ends.
            while raised() != 2 {
                std::thread::yield_now();
            }
        }
        Ok(())
    })));
    send(&store, KEY, &[&file], 0).unwrap();
    test_hooks::set_hook(None);
    joins.take().expect("it joined").join().unwrap().unwrap();
    assert_eq!(level(), 2);
}

#[test]
fn keys_that_others_could_guess_need_an_owner() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let kind = |store: &Store, key: &[u8]| send(store, key, &pieces, 0).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind(&store, b"short"), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind(&store, &[b'x'; 15]), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind(&store, &[b'x'; 257]), Err(ErrorKind::InvalidArgument));
    assert_eq!(store.uid_for_key(b"").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(entries(store.root()), [""; 0], "nothing is left");
    assert_eq!(kind(&store, &[b'x'; 16]), Ok(()));
    assert_eq!(kind(&store, &[b'x'; 256]), Ok(()));
    let (ann, bob) = (store.for_owner(b"ann").unwrap(), store.for_owner(b"bob").unwrap());
    assert_eq!(kind(&ann, &[b'x'; 257]), Err(ErrorKind::InvalidArgument));
    assert_eq!((kind(&ann, b"x"), kind(&bob, b"x")), (Ok(()), Ok(())));
    assert_ne!(ann.uid_for_key(b"x").unwrap(), bob.uid_for_key(b"x").unwrap(), "each owner has its own");
    assert_ne!(ann.uid_for_key(KEY).unwrap(), store.uid_for_key(KEY).unwrap());
}

/// A late chunk cannot rebuild a file that was taken. After the cleanup of its record, or a removal, an upload begins
/// again.
#[test]
fn a_taken_upload_with_a_key_stays_gone() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let uid = [0, 1, 2, 3].map(|number| send(&store, KEY, &pieces, number).unwrap().upload_uid)[3];
    std::fs::remove_file(store.get(uid.as_str()).unwrap().path).unwrap();
    for number in [0, 3] {
        assert_eq!(send(&store, KEY, &pieces, number).unwrap_err().kind(), ErrorKind::Gone);
    }
    store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
    assert_eq!(uploads(&store), [""; 0]);
    assert_eq!(send(&store, KEY, &pieces, 0).unwrap().upload_uid, uid);
    store.remove(uid.as_str()).unwrap();
    assert_eq!(store.inspect(uid.as_str(), 0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(send(&store, KEY, &pieces, 1).unwrap().upload_uid, uid);
    assert_eq!(store.inspect(uid.as_str(), 0).unwrap().received_count, 1, "nothing of the old one");
}

#[test]
fn first_chunks_at_the_same_moment_join_one_upload() {
    for round in 0..30 {
        let durability = [Durability::Process, Durability::Complete, Durability::Chunk][round % 3];
        let store = TestStore::with(Options { durability, ..Options::default() });
        let file = bytes(8 * 100);
        let pieces = cut(&file, &[100; 8]);
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for number in 0..8 {
                let (store, start, pieces) = (&store, &start, &pieces);
                senders.push(scope.spawn(move || {
                    start.wait();
                    send(store, KEY, pieces, number).unwrap();
                }));
            }
            join(senders);
        });
        let uid = store.uid_for_key(KEY).unwrap();
        assert_eq!(uploads(&store), [uid.as_str()], "no orphans");
        assert_eq!(store.content(uid.as_str()), file);
    }
}

/// At level `chunk` a call that joins before the maker has synced the upload's name syncs it, too. Until then the
/// upload does not record that level.
#[test]
fn who_joins_early_keeps_the_level_itself() {
    let store = std::rc::Rc::new(TestStore::with(Options { durability: Durability::Chunk, ..Options::default() }));
    let uid = store.uid_for_key(KEY).unwrap();
    let (joiner, state) = (store.store.clone(), store.path(uid.as_str(), "state"));
    let level = move || std::fs::read(&state).unwrap()[193];
    let (seen, levels) = (std::rc::Rc::new(std::cell::RefCell::new(Vec::new())), level.clone());
    let found = seen.clone();
    test_hooks::set_hook(Some(std::rc::Rc::new(move |step| {
        if step == "create:renamed" {
            test_hooks::set_hook(None);
            found.borrow_mut().push(levels());
            send(&joiner, KEY, &cut(&bytes(350), CUTS[0]), 3).unwrap();
            found.borrow_mut().push(levels());
        }
        Ok(())
    })));
    send(&store, KEY, &cut(&bytes(350), CUTS[0]), 0).unwrap();
    assert_eq!(*seen.borrow(), [0, 2]);
    assert_eq!(level(), 2);
}

/// A failure after others can join removes nothing from them.
#[test]
fn a_maker_that_fails_late_takes_nothing_away() {
    let store = std::rc::Rc::new(TestStore::with(Options { max_store_size: 1 << 20, ..Options::default() }));
    let file = bytes(350);
    let joiner = store.store.clone();
    test_hooks::set_hook(Some(std::rc::Rc::new(move |step| {
        if step == "create:renamed" {
            test_hooks::set_hook(None);
            send(&joiner, KEY, &cut(&bytes(350), CUTS[0]), 3).unwrap();
            return Err(std::io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    })));
    let pieces = cut(&file, CUTS[0]);
    assert_eq!(send(&store, KEY, &pieces, 0).unwrap_err().os_errno(), Some(libc::EIO));
    test_hooks::set_hook(None);
    for number in [1, 2, 0] {
        send(&store, KEY, &pieces, number).unwrap();
    }
    assert_eq!(store.content(store.uid_for_key(KEY).unwrap().as_str()), file);
}

/// A maker of an upload with a key dies. The same chunk, sent again, makes the upload, and a cleanup finds the rest.
#[test]
fn dying_at_any_step_leaves_one_upload_to_join() {
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    for durability in [Durability::Process, Durability::Chunk] {
        for step in 0.. {
            let store = TestStore::with(Options { durability, ..Options::default() });
            let died = dies_at(
                step,
                |_| {},
                || {
                    send(&store, KEY, &pieces, 1).unwrap();
                },
            );
            for number in [1, 0, 2, 3] {
                send(&store, KEY, &pieces, number).unwrap();
            }
            let uid = store.uid_for_key(KEY).unwrap();
            assert_eq!(store.content(uid.as_str()), file);
            assert_eq!(store.list().unwrap().count(), 1);
            store.cleanup(&Expiry { finished: None, ..Expiry::older_than(Duration::ZERO) }).unwrap();
            assert_eq!(uploads(&store), [uid.as_str()], "step {step}");
            if !died {
                assert!(step >= 5, "{step}");
                break;
            }
        }
    }
}

/// A half-removed upload does not block the next upload with its key.
#[test]
fn what_is_left_at_its_place_is_swept_away() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let uid = send(&store, KEY, &pieces, 0).unwrap().upload_uid;
    std::fs::remove_file(store.path(uid.as_str(), "state")).unwrap();
    for number in 0..4 {
        send(&store, KEY, &pieces, number).unwrap();
    }
    assert_eq!(store.content(uid.as_str()), file);
    std::fs::remove_dir_all(store.root().join(uid.as_str())).unwrap();
    std::fs::create_dir(store.root().join(uid.as_str())).unwrap();
    assert_eq!(send(&store, KEY, &pieces, 0).unwrap().upload_uid, uid);
    // Files of other programs are not touched.
    store.remove(uid.as_str()).unwrap();
    std::fs::create_dir_all(store.root().join(uid.as_str()).join("foreign")).unwrap();
    let error = send(&store, KEY, &pieces, 0).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::ENOTEMPTY)));
    assert_eq!(uploads(&store), [uid.as_str()], "the half-made one is gone");
}

/// Cleaners outside the library remove store-wide files. With a new secret, keys lead to new uploads. A damaged secret
/// is made again.
#[test]
fn a_secret_that_is_missing_is_made_again() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let first = send(&store, KEY, &pieces, 0).unwrap().upload_uid;
    let secret = store.root().join("secret");
    assert_eq!(std::fs::read(&secret).unwrap().len(), 32);
    for damage in [None, Some(vec![]), Some(vec![0; 32]), Some(vec![1; 33])] {
        match damage {
            None => std::fs::remove_file(&secret).unwrap(),
            Some(bytes) => std::fs::write(&secret, bytes).unwrap(),
        }
        assert_ne!(send(&store, KEY, &pieces, 0).unwrap().upload_uid, first);
    }
    store.send_piece(first.as_str(), &pieces, 1).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_refused_first_chunk_with_a_key_leaves_nothing() {
    let store = TestStore::with(Options { max_total_size: 100, ..Options::default() });
    let file = bytes(350);
    let error = send(&store, KEY, &cut(&file, CUTS[0]), 0).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { limit: "max_total_size", .. }), "{error}");
    assert!(!store.root().exists());
}

/// The owner destroys the file and removes it while a call reads it again, through a mount that it does not trust. No
/// call brings the file back.
#[test]
fn a_file_that_was_taken_during_a_check_stays_taken() {
    let store = TestStore::new();
    test_hooks::set_trust_tag(Some(None));
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let [.., uid] = [0, 1, 2, 3].map(|number| send(&store, KEY, &pieces, number).unwrap().upload_uid);
    let path = store.finished(uid.as_str()).path;
    std::fs::write(&path, [0; 350]).unwrap();
    test_hooks::set_hook(Some(std::rc::Rc::new(move |step| {
        if step == "check:cleared" {
            let _ = std::fs::remove_file(&path);
        }
        Ok(())
    })));
    assert!(store.get(uid.as_str()).is_err());
    test_hooks::set_hook(None);
    assert_eq!(store.get(uid.as_str()).unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(send(&store, KEY, &pieces, 0).unwrap_err().kind(), ErrorKind::Gone);
}

/// Power loss lost the sector with the name of an upload whose file was taken. The upload does not begin again.
#[test]
fn what_is_gone_stays_gone_without_its_name() {
    for moved in [true, false] {
        let store = TestStore::new();
        test_hooks::set_trust_tag(Some(Some(100)));
        let file = bytes(350);
        let pieces = cut(&file, CUTS[0]);
        let [.., uid] = [0, 1, 2, 3].map(|number| send(&store, KEY, &pieces, number).unwrap().upload_uid);
        let to = store.dir.path().join("taken");
        if moved {
            store.move_to(uid.as_str(), to, false).unwrap();
        } else {
            std::fs::rename(store.finished(uid.as_str()).path, to).unwrap();
        }
        let state = store.path(uid.as_str(), "state");
        let mut disk = std::fs::read(&state).unwrap();
        disk[512..].fill(0);
        std::fs::write(&state, disk).unwrap();
        test_hooks::set_trust_tag(Some(Some(200)));
        assert_eq!(send(&store, KEY, &pieces, 0).unwrap_err().kind(), ErrorKind::Gone, "moved {moved}");
    }
}

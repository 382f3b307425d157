//! Removing uploads, cleaning up, and files that are not the store's.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::common::{CUTS, TestStore, bytes, cut, dies_at, entries, join};
use chunked_upload::{Chunk, ErrorKind, Expiry, Options, Phase, Store, test_hooks};

fn everything() -> Expiry {
    Expiry::older_than(Duration::ZERO)
}

/// Puts a directory's activity into the past.
fn idle(store: &Store, uid: &str, seconds: u64) {
    set_time(store, uid, SystemTime::now() - Duration::from_secs(seconds));
}

fn set_time(store: &Store, uid: &str, time: SystemTime) {
    std::fs::File::open(store.root().join(uid)).unwrap().set_modified(time).unwrap();
}

/// An upload in each phase: receiving, complete, gone.
fn one_of_each(store: &TestStore) -> [String; 3] {
    let file = bytes(350);
    let complete = store.send_all(&file, 100);
    store.get(&complete).unwrap();
    let gone = store.send_all(&file, 100);
    std::fs::remove_file(store.get(&gone).unwrap().path).unwrap();
    [store.first(&file, 100, 2), complete, gone]
}

#[test]
fn a_removed_upload_is_unknown_and_leaves_nothing() {
    let store = TestStore::new();
    for uid in one_of_each(&store) {
        store.remove(&uid).unwrap();
        assert!(!store.root().join(&uid).exists());
        let kinds = [
            store.remove(&uid).unwrap_err().kind(),
            store.get(&uid).unwrap_err().kind(),
            store.send(&uid, &bytes(350), 100, 0).unwrap_err().kind(),
            store.inspect(&uid, 0).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 4]);
    }
    assert_eq!(entries(store.root()), [""; 0]);
    assert_eq!(store.remove("x").unwrap_err().kind(), ErrorKind::NotFound);
}

/// A chunk, a `get` and another removal come while the upload is being removed. None of them finds it.
#[test]
fn calls_that_waited_for_a_removal_find_nothing() {
    for call in 0..3 {
        let store = Rc::new(TestStore::new());
        let file = bytes(350);
        let uid = store.send_all(&file, 100);
        let (other, name) = (store.store.clone(), uid.clone());
        let waiting = Rc::new(RefCell::new(None));
        let thread = waiting.clone();
        test_hooks::set_hook(Some(Rc::new(move |step| {
            if step == "remove:marked" {
                let (store, uid) = (other.clone(), name.clone());
                *thread.borrow_mut() = Some(std::thread::spawn(move || {
                    let answer = match call {
                        0 => crate::common::send(&store, &uid, &bytes(350), 100, 1).map(|_| ()),
                        1 => store.get(&uid).map(|_| ()),
                        _ => store.remove(&uid),
                    };
                    answer.unwrap_err().kind()
                }));
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })));
        store.remove(&uid).unwrap();
        test_hooks::set_hook(None);
        assert_eq!(waiting.take().unwrap().join().unwrap(), ErrorKind::NotFound);
        assert_eq!(entries(store.root()), [""; 0]);
    }
}

#[test]
fn dying_in_a_removal_leaves_what_a_cleanup_finds() {
    for moved in [false, true] {
        for step in 0.. {
            let store = TestStore::new();
            let file = bytes(350);
            let uid = store.send_pieces(&cut(&file, CUTS[1]), &[3, 2, 1, 0]);
            if moved {
                store.move_to(&uid, store.dir.path().join("moved"), false).unwrap();
            }
            let died = dies_at(step, |_| {}, || store.remove(&uid).unwrap());
            match store.get(&uid) {
                Ok(finished) => assert_eq!((std::fs::read(finished.path).unwrap(), died), (file, true)),
                Err(error) if moved && error.kind() == ErrorKind::Gone => assert!(died),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "step {step}: {error}"),
            }
            store.cleanup(&everything()).unwrap();
            assert_eq!(entries(store.root()), [""; 0], "step {step}");
            if !died {
                break;
            }
        }
    }
}

#[test]
fn each_kind_has_its_own_age() {
    let hour = Duration::from_secs(3600);
    let none = Expiry { unfinished: None, finished: None, gone: None, ..everything() };
    let cases = [
        (Expiry { unfinished: Some(hour), ..none.clone() }, Phase::Receiving),
        (Expiry { finished: Some(hour), ..none.clone() }, Phase::Complete),
        (Expiry { gone: Some(hour), ..none.clone() }, Phase::Gone),
    ];
    for (expiry, phase) in cases {
        let store = TestStore::new();
        let uids = one_of_each(&store);
        assert_eq!(store.cleanup(&expiry).unwrap().removed, [], "all were just used");
        uids.iter().for_each(|uid| idle(&store, uid, 3500));
        assert_eq!(store.cleanup(&expiry).unwrap().removed, []);
        uids.iter().for_each(|uid| idle(&store, uid, 3700));
        let dry = store.cleanup(&Expiry { dry_run: true, ..expiry.clone() }).unwrap();
        assert_eq!(entries(store.root()).len(), 3, "a dry run removes nothing");
        let cleaned = store.cleanup(&expiry).unwrap();
        assert_eq!(dry, cleaned);
        assert_eq!(cleaned.removed.iter().map(|removed| removed.phase).collect::<Vec<_>>(), [Some(phase)]);
        assert_eq!((cleaned.failed_count, cleaned.more), (0, false));
        assert_eq!(store.list().unwrap().filter(|listed| listed.as_ref().unwrap().phase == phase).count(), 0);
        assert_eq!(store.list().unwrap().count(), 2);
    }
    let store = TestStore::new();
    one_of_each(&store);
    assert_eq!(store.cleanup(&none).unwrap().removed, []);
    assert_eq!(store.cleanup(&everything()).unwrap().removed.len(), 3);
}

/// A clock that was set back, or an attacker, leaves times in the future. Such uploads age from the first cleanup on.
#[test]
fn a_time_in_the_future_does_not_keep_an_upload_for_ever() {
    let store = TestStore::new();
    let mut uids = one_of_each(&store).to_vec();
    let leftover = store.first(&bytes(350), 100, 0);
    std::fs::write(store.path(&leftover, "state"), b"").unwrap();
    uids.push(leftover);
    let year = Duration::from_secs(365 * 24 * 3600);
    let ahead = SystemTime::now() + year;
    uids.iter().for_each(|uid| set_time(&store, uid, ahead));
    let time = |uid: &String| store.root().join(uid).metadata().unwrap().modified().unwrap();
    let hour = Expiry::older_than(Duration::from_secs(3600));
    let nothing = chunked_upload::Cleaned::default();
    assert_eq!(store.cleanup(&Expiry { dry_run: true, ..hour.clone() }).unwrap(), nothing);
    assert!(uids.iter().all(|uid| time(uid) == ahead), "a dry run changes nothing");
    let before = SystemTime::now() - Duration::from_secs(1);
    assert_eq!(store.cleanup(&hour).unwrap(), nothing);
    assert!(uids.iter().all(|uid| (before..=SystemTime::now()).contains(&time(uid))));
    assert_eq!(store.cleanup(&hour).unwrap(), nothing);
    // As if an hour had passed.
    uids.iter().for_each(|uid| set_time(&store, uid, time(uid) - Duration::from_secs(3601)));
    assert_eq!(store.cleanup(&hour).unwrap().removed.len(), 4);
    assert_eq!(entries(store.root()), [""; 0]);
}

#[test]
fn activity_keeps_an_upload() {
    let store = TestStore::new();
    let [uid, complete, _] = one_of_each(&store);
    let hour = Expiry::older_than(Duration::from_secs(3600));
    for uid in [&uid, &complete] {
        idle(&store, uid, 7200);
    }
    store.send(&uid, &bytes(350), 100, 2).unwrap();
    store.get(&complete).unwrap();
    assert_eq!(store.cleanup(&hour).unwrap().removed, []);
}

#[test]
fn one_call_removes_no_more_than_it_was_told() {
    let store = TestStore::new();
    for _ in 0..5 {
        store.first(&bytes(350), 100, 0);
    }
    let two = Expiry { max_removals: 2, ..everything() };
    let counts: Vec<_> = (0..3).map(|_| store.cleanup(&two).unwrap()).map(|c| (c.removed.len(), c.more)).collect();
    assert_eq!(counts, [(2, true), (2, true), (1, false)]);
}

/// At every step of every call that works on an upload, or makes one, a cleanup of everything leaves it alone.
#[test]
fn what_a_call_is_working_on_stays() {
    type Call = fn(&TestStore, &str) -> String;
    let keyed: Call = |store, _| {
        let chunk = Chunk { upload_key: &[b'k'; 16], total_size: 1, chunk_count: 1, content: b"x", ..Chunk::default() };
        store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
    };
    let calls: [(&str, Call, u32); 6] = [
        ("create", |store, _| store.first(&bytes(350), 100, 0), 5),
        ("keyed", keyed, 6),
        (
            "chunk",
            |store, uid| store.send(uid, &crate::common::seeded_bytes(350, 5), 100, 1).unwrap().upload_uid.to_string(),
            3,
        ),
        ("get", |store, uid| store.get(uid).unwrap().uid.to_string(), 4),
        ("move", |store, uid| store.move_to(uid, store.dir.path().join("moved"), false).unwrap().uid.to_string(), 6),
        ("verify", |store, uid| store.verify(uid).map(|_| uid.to_owned()).unwrap(), 1),
    ];
    for (name, call, least) in calls {
        let store = TestStore::new();
        let uid = store.send_all(&bytes(350), 100);
        if name == "verify" {
            std::fs::write(store.path(&uid, "data"), vec![0; 350]).unwrap();
        }
        let (other, cleaning, steps) = (store.store.clone(), Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let count = steps.clone();
        let emptied = Cell::new(0);
        test_hooks::set_hook(Some(Rc::new(move |step| {
            // A cleanup that always runs before the new directory has a file would always win.
            if step == "create:directory" && emptied.replace(emptied.get() + 1) >= 2 {
                return Ok(());
            }
            // The cleanup takes steps, too.
            if !cleaning.replace(true) {
                other.cleanup(&everything()).unwrap();
                count.set(count.get() + 1);
                cleaning.set(false);
            }
            Ok(())
        })));
        let uid = call(&store, &uid);
        test_hooks::set_hook(None);
        assert!(steps.get() >= least, "{name} has {} steps", steps.get());
        assert!(store.inspect(&uid, 0).is_ok(), "{name}");
    }
}

/// A cleanup opens a directory in which an upload is being made. It continues when the finished upload is at its place.
#[test]
fn a_slow_cleanup_takes_no_finished_upload_for_an_unfinished_one() {
    let store = TestStore::new();
    let unfinished_only = Expiry { finished: None, gone: None, ..everything() };
    let first = |key: &[u8]| {
        let chunk = Chunk { upload_key: key, total_size: 4, chunk_count: 1, content: b"file", ..Chunk::default() };
        store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
    };
    store.remove(&first(b"so that there is a secret")).unwrap();
    std::thread::scope(|scope| {
        let (opened, is_opened) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let (start, may_start) = std::sync::mpsc::channel::<()>();
        let store = &store;
        let cleaner = scope.spawn(move || {
            may_start.recv().unwrap();
            test_hooks::set_hook(Some(Rc::new(move |step| {
                if step == "cleanup:opened" {
                    opened.send(()).unwrap();
                    may_go_on.recv().unwrap();
                }
                Ok(())
            })));
            store.cleanup(&unfinished_only).unwrap()
        });
        test_hooks::set_hook(Some(Rc::new(move |step| {
            if step == "create:marked" {
                start.send(()).unwrap();
                is_opened.recv().unwrap();
            }
            Ok(())
        })));
        let uid = first(b"sixteen bytes or more");
        test_hooks::set_hook(None);
        store.get(&uid).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(cleaner.join().unwrap().removed, []);
        assert_eq!(store.content(&uid), b"file");
    });
}

/// A cleanup finds what a crash leaves at every step of making an upload. It leaves other files alone.
#[test]
fn leftovers_are_found_and_foreign_files_are_not() {
    let store = TestStore::new();
    let root = store.root().to_owned();
    for step in 0..6 {
        dies_at(step, |_| {}, || drop(store.first(&bytes(350), 100, 0)));
    }
    let half_removed = store.first(&bytes(350), 100, 0);
    std::fs::remove_file(store.path(&half_removed, "state")).unwrap();
    let damaged = store.first(&bytes(350), 100, 0);
    std::fs::write(store.path(&damaged, "state"), b"garbage").unwrap();
    let emptied = store.first(&bytes(350), 100, 0);
    std::fs::write(store.path(&emptied, "state"), b"").unwrap();

    let foreign = ["notes", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef", "backup.new"];
    for name in foreign {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    std::fs::write(root.join("22222222222222222222222222222222"), b"a file").unwrap();
    std::os::unix::fs::symlink(root.join("notes"), root.join("11111111111111111111111111111111")).unwrap();
    std::fs::write(root.join("notes").join("data"), b"mine").unwrap();
    let hour = Expiry::older_than(Duration::from_secs(3600));
    assert_eq!(store.cleanup(&hour).unwrap().removed, [], "not before their time");
    let cleaned = store.cleanup(&everything()).unwrap();
    assert!(cleaned.removed.len() >= 6, "{cleaned:?}");
    let mut left: Vec<&str> = foreign.to_vec();
    left.extend(["11111111111111111111111111111111", "22222222222222222222222222222222"]);
    left.sort();
    assert_eq!(entries(&root), left);
    assert_eq!(std::fs::read(Path::new(&root).join("notes/data")).unwrap(), b"mine");
}

/// A filter that refuses locks gives the same error numbers as a held lock. Nothing is removed, and the failure is
/// counted.
#[test]
fn what_a_filter_keeps_from_being_locked_is_counted_as_failed() {
    for errno in [libc::EACCES, libc::EAGAIN] {
        let store = TestStore::new();
        let [receiving, _, _] = one_of_each(&store);
        let empty = store.first(&bytes(350), 100, 0);
        std::fs::write(store.path(&empty, "state"), b"").unwrap();
        let ended = crate::common::in_child(|| {
            crate::common::refuse(libc::SYS_fcntl, Some(libc::F_OFD_SETLK), errno);
            let cleaned = store.cleanup(&everything()).unwrap();
            assert_eq!((cleaned.removed.len(), cleaned.failed_count), (0, 4));
            let whole = store.send_all(&bytes(350), 100);
            for error in [store.get(&whole).unwrap_err(), store.remove(&receiving).unwrap_err()] {
                assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(errno)), "{error}");
            }
        });
        assert!(ended.success(), "{ended:?}");
        assert_eq!(entries(store.root()).len(), 5);
    }
}

/// A held lock means that the upload is in use. That is no failure.
#[test]
fn what_a_call_has_locked_is_not_counted_as_failed() {
    let store = TestStore::new();
    let uid = store.first(&bytes(350), 100, 0);
    let other = store.store.clone();
    let cleaned = Rc::new(Cell::new(0));
    let count = cleaned.clone();
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "receive:locked" {
            test_hooks::set_hook(None);
            assert_eq!(other.cleanup(&everything()).unwrap(), chunked_upload::Cleaned::default());
            count.set(count.get() + 1);
        }
        Ok(())
    })));
    store.send(&uid, &bytes(350), 100, 1).unwrap();
    assert_eq!(cleaned.get(), 1);
}

/// Files that another program planted in an upload's directory are neither followed nor removed.
#[test]
fn foreign_files_in_an_upload_stay() {
    let store = TestStore::new();
    let uid = store.first(&bytes(350), 100, 0);
    let mine = store.dir.path().join("mine");
    std::fs::write(&mine, b"mine").unwrap();
    std::fs::write(store.path(&uid, "foreign"), b"").unwrap();
    std::fs::remove_file(store.path(&uid, "data")).unwrap();
    std::os::unix::fs::symlink(&mine, store.path(&uid, "data")).unwrap();
    let error = store.remove(&uid).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::ENOTEMPTY)));
    assert_eq!(entries(&store.root().join(&uid)), ["foreign"]);
    assert_eq!(std::fs::read(&mine).unwrap(), b"mine");
    let cleaned = store.cleanup(&everything()).unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.failed_count), (0, 1));
}

/// Cleaners of age zero run while clients send. Each acknowledged upload is whole or was removed whole, and no call
/// fails in another way.
#[test]
fn cleaners_race_with_makers_and_takers() {
    let store = TestStore::with(Options { max_store_size: 1 << 30, ..Options::default() });
    let file = bytes(350);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut cleaners = Vec::new();
        for _ in 0..2 {
            cleaners.push(scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let cleaned = store.cleanup(&everything()).unwrap();
                    assert_eq!(cleaned.failed_count, 0);
                }
            }));
        }
        let clients: Vec<_> = (0..4_u8)
            .map(|client| {
                let (store, file) = (&store, &file);
                scope.spawn(move || {
                    let mut finished = 0;
                    for round in 0..300 {
                        let key = [if round % 2 == 0 { b'k' } else { b'a' + client }; 16];
                        let pieces = cut(file, CUTS[0]);
                        let mut uid = String::new();
                        for (number, content) in (0..).zip(pieces) {
                            let keyed = if round % 3 == 0 { &key[..] } else { &[] };
                            let sent = store.handle_chunk(&chunked_upload::Chunk {
                                upload_uid: &uid,
                                upload_key: keyed,
                                total_size: 350,
                                chunk_number: number,
                                chunk_count: 4,
                                content,
                                ..Default::default()
                            });
                            match sent {
                                Ok(receipt) => uid = receipt.upload_uid.to_string(),
                                Err(error) => {
                                    let known = [ErrorKind::NotFound, ErrorKind::Gone];
                                    assert!(known.contains(&error.kind()), "{error}");
                                    break;
                                }
                            }
                        }
                        match store.get(&uid) {
                            Ok(upload) => {
                                if let Ok(content) = std::fs::read(upload.path) {
                                    assert_eq!(content, *file);
                                    finished += 1;
                                }
                            }
                            Err(error) => {
                                let known = [ErrorKind::NotFound, ErrorKind::Gone, ErrorKind::Incomplete];
                                assert!(known.contains(&error.kind()), "{error}");
                            }
                        }
                    }
                    finished
                })
            })
            .collect();
        let finished: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        join(cleaners);
        eprintln!("{finished} of 1200 came through");
    });
    store.cleanup(&everything()).unwrap();
    assert_eq!(entries(store.root()), ["promised", "secret"]);
}

//! Calls that meet: at one slot, at the gate, and while the upload is completed.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::common::{TestStore, bytes, chunk_count, in_child, join, seeded_bytes, send};
use chunked_upload::{Chunk, ErrorKind, Store, test_hooks};

/// Makes this thread stop at the first step of this name, report that, and wait until it may continue.
fn stop_at(step: &'static str) -> (Receiver<()>, Sender<()>, impl FnOnce()) {
    let (reached, at_step) = channel();
    let (go_on, word) = channel();
    let stopped = AtomicBool::new(false);
    let install = move || {
        test_hooks::set_hook(Some(Rc::new(move |name| {
            if name == step && !stopped.swap(true, Ordering::SeqCst) {
                reached.send(()).unwrap();
                word.recv().unwrap();
            }
            Ok(())
        })));
    };
    (at_step, go_on, install)
}

/// Waits until some thread of this process waits for a lock on this file, as the kernel lists it.
fn until_somebody_waits(state: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", std::fs::metadata(state).unwrap().ino());
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        if locks.lines().any(|line| line.contains("->") && line.contains(&inode)) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("no thread waits for a lock");
}

/// A writer waits for its slot while the upload is completed: it finds a finished file, not `data` to write to.
#[test]
fn a_writer_that_waited_while_the_upload_was_completed() {
    let file = bytes(1000);
    let others = seeded_bytes(1000, 2);
    for take in [false, true] {
        for same in [true, false] {
            let store = TestStore::new();
            let uid = store.send_all(&file, 100);
            let content = if same { &file } else { &others };
            std::thread::scope(|scope| {
                // The completer holds all slots...
                let (stopped, go_on, install) = stop_at("complete:cut");
                let completer = scope.spawn(|| {
                    install();
                    let finished = store.get(&uid).unwrap();
                    if take {
                        std::fs::rename(&finished.path, store.dir.path().join("taken")).unwrap();
                    }
                });
                stopped.recv().unwrap();
                // ...and the writer has opened the upload, and waits.
                let writer = scope.spawn(|| send(&store, &uid, content, 100, 3));
                until_somebody_waits(&store.path(&uid, "state"));
                go_on.send(()).unwrap();
                completer.join().unwrap();
                let answer = writer.join().unwrap().map_err(|error| error.kind());
                match answer {
                    Ok(receipt) => assert!(same && receipt.received_all),
                    Err(ErrorKind::Conflict) => assert!(!same),
                    Err(kind) => assert!(take && kind == ErrorKind::Gone, "{kind:?}"),
                }
            });
            let path = if take { store.dir.path().join("taken") } else { store.finished(&uid).path };
            assert_eq!(std::fs::read(path).unwrap(), file, "take {take} same {same}");
            if take {
                assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
            }
        }
    }
}

/// The file is taken, or the upload removed, before the writer gets its slot.
#[test]
fn a_writer_that_waited_while_the_file_was_taken_or_the_upload_removed() {
    let file = bytes(1000);
    for (remove, expected) in [(false, ErrorKind::Gone), (true, ErrorKind::NotFound)] {
        let store = TestStore::new();
        let uid = store.send_all(&file, 100);
        std::thread::scope(|scope| {
            // This call holds the slot that the other call needs. The upload is already complete.
            store.finished(&uid);
            let (stopped, go_on, install) = stop_at("receive:locked");
            let holder = scope.spawn(|| {
                install();
                let _ = send(&store, &uid, &file, 100, 3);
            });
            stopped.recv().unwrap();
            let writer = scope.spawn(|| send(&store, &uid, &file, 100, 3));
            until_somebody_waits(&store.path(&uid, "state"));
            if remove {
                std::fs::remove_dir_all(store.root().join(&uid)).unwrap();
            } else {
                std::fs::remove_file(store.path(&uid, "file")).unwrap();
            }
            go_on.send(()).unwrap();
            holder.join().unwrap();
            assert_eq!(writer.join().unwrap().unwrap_err().kind(), expected);
        });
        assert!(!store.path(&uid, "data").exists() && !store.path(&uid, "file").exists());
    }
}

/// A writer at level `process` records its chunk while another call raises the level. A repeat at the higher level does
/// not trust that record's bytes to be synced.
#[test]
fn a_repeat_at_level_chunk_syncs_what_a_slower_writer_left() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.first(&file, 100, 0);
    let durable =
        store.reopened(chunked_upload::Options { durability: chunked_upload::Durability::Chunk, ..Default::default() });
    std::thread::scope(|scope| {
        let (stopped, go_on, install) = stop_at("receive:written");
        let writer = scope.spawn(|| {
            install();
            send(&store, &uid, &file, 100, 5).unwrap()
        });
        stopped.recv().unwrap();
        send(&durable, &uid, &file, 100, 1).unwrap();
        go_on.send(()).unwrap();
        writer.join().unwrap();
    });
    let synced = Rc::new(AtomicU64::new(0));
    let count = synced.clone();
    let hook = move |step: &'static str| {
        count.fetch_add(u64::from(step == "synced:data"), Ordering::SeqCst);
        Ok(())
    };
    test_hooks::set_hook(Some(Rc::new(hook)));
    send(&durable, &uid, &file, 100, 5).unwrap();
    assert_eq!(synced.swap(0, Ordering::SeqCst), 1);
    send(&durable, &uid, &file, 100, 5).unwrap();
    assert_eq!(synced.load(Ordering::SeqCst), 0, "and once is enough");
    test_hooks::set_hook(None);
}

/// A `get` that meets a chunk that is being replaced waits for it, and does not report it as missing.
#[test]
fn get_waits_for_a_replacement() {
    let (file, others) = (bytes(1000), seeded_bytes(1000, 2));
    let store = TestStore::new();
    let uid = store.send_all(&others, 100);
    for number in 1..10 {
        store.send(&uid, &file, 100, number).unwrap();
    }
    std::thread::scope(|scope| {
        let (stopped, go_on, install) = stop_at("receive:cleared");
        let writer = scope.spawn(|| {
            install();
            send(&store, &uid, &file, 100, 0).unwrap()
        });
        stopped.recv().unwrap();
        let getter = scope.spawn(|| store.content(&uid));
        until_somebody_waits(&store.path(&uid, "state"));
        go_on.send(()).unwrap();
        writer.join().unwrap();
        assert_eq!(getter.join().unwrap(), file);
    });
}

/// The last chunk comes while `get` counts the missing chunks: then none is missing.
#[test]
fn get_never_says_that_nothing_is_missing() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.first(&file, 100, 0);
    for number in 1..9 {
        store.send(&uid, &file, 100, number).unwrap();
    }
    let (sender, target, content) = (store.store.clone(), uid.clone(), file.clone());
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "get:gap" {
            send(&sender, &target, &content, 100, 9).unwrap();
        }
        Ok(())
    })));
    let answer = store.get(&uid);
    test_hooks::set_hook(None);
    assert_eq!(std::fs::read(answer.unwrap().path).unwrap(), file);
}

/// Chunks of different numbers do not wait for each other.
#[test]
fn a_chunk_does_not_wait_for_another() {
    let file = bytes(1000);
    let store = TestStore::new();
    let uid = store.first(&file, 100, 0);
    std::thread::scope(|scope| {
        let (stopped, go_on, install) = stop_at("receive:written");
        let slow = scope.spawn(|| {
            install();
            send(&store, &uid, &file, 100, 5).unwrap()
        });
        stopped.recv().unwrap();
        for number in [1, 2, 3, 4, 6, 7, 8, 9] {
            assert!(!send(&store, &uid, &file, 100, number).unwrap().received_all);
        }
        go_on.send(()).unwrap();
        assert!(slow.join().unwrap().received_all);
    });
    assert_eq!(store.content(&uid), file);
}

/// Eight processes replace the chunks of a full upload without a pause. `get` still completes.
#[test]
fn eight_resenders_do_not_starve_get() {
    let (one, other) = (bytes(800 << 10), seeded_bytes(800 << 10, 2));
    let size = 100 << 10;
    for round in 0..5 {
        let store = TestStore::new();
        let uid = store.send_all(&one, size);
        let stop = store.dir.path().join("stop");
        let resend = |number: u64| {
            while !stop.exists() {
                for file in [&other, &one] {
                    match send(&store, &uid, file, size, number) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::Conflict => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..8).map(|number| scope.spawn(move || in_child(|| resend(number)))).collect();
            std::thread::sleep(Duration::from_millis(20));
            let start = Instant::now();
            let finished = store.get(&uid);
            let waited = start.elapsed();
            std::fs::write(&stop, "").unwrap();
            for sender in senders {
                assert!(sender.join().unwrap().success());
            }
            // Without the gate, `get` would wait until the senders stop. The bound is generous: it is no measurement.
            assert!(waited < Duration::from_secs(20), "{waited:?}");
            let content = std::fs::read(finished.unwrap().path).unwrap();
            for (number, chunk) in content.chunks(size).enumerate() {
                let range = number * size..(number + 1) * size;
                assert!(chunk == &one[range.clone()] || chunk == &other[range], "round {round}: a mixture");
            }
            assert_eq!(store.content(&uid), content);
        });
    }
}

/// Threads and processes send all chunks several times in different orders, while others keep calling `get`.
#[test]
fn many_senders_and_getters() {
    let file = bytes(300_000);
    for size in [1000, 7001] {
        let count = chunk_count(&file, size);
        let store = TestStore::new();
        let uid = store.first(&file, size, count / 2);
        let done = AtomicU64::new(0);
        let send_all = |store: &Store, seed: u64| {
            let mut last = false;
            for step in 0..count {
                let number = (step * (2 * seed + 1) + seed * 31) % count;
                last = send(store, &uid, &file, size, number).unwrap().received_all;
            }
            last
        };
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..2 {
                threads.push(scope.spawn(|| {
                    while done.load(Ordering::SeqCst) < 4 {
                        match store.get(&uid) {
                            Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), file),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Incomplete),
                        }
                    }
                }));
            }
            for seed in 0..4 {
                let (store, done, send_all) = (&store, &done, &send_all);
                threads.push(scope.spawn(move || {
                    if seed % 2 == 0 {
                        send_all(&store.store, seed);
                    } else {
                        assert!(
                            in_child(|| {
                                send_all(&store.store, seed);
                            })
                            .success()
                        );
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }));
            }
            join(threads);
        });
        // Steps that share a factor with the count leave gaps; now there are none.
        assert!((0..count).all(|number| send(&store, &uid, &file, size, number).is_ok()));
        assert_eq!(store.content(&uid), file);
    }
}

/// The sender of the last missing chunk is told so, even if many send at once.
#[test]
fn somebody_is_told_that_all_is_there() {
    for round in 0..200 {
        let file = seeded_bytes(400, round);
        let store = TestStore::new();
        let uid = store.first(&file, 100, 0);
        let told = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for number in 1..4 {
                let (store, uid, file, told) = (&store, &uid, &file, &told);
                senders.push(scope.spawn(move || {
                    told.fetch_add(
                        u64::from(store.send(uid, file, 100, number).unwrap().received_all),
                        Ordering::SeqCst,
                    )
                }));
            }
            join(senders);
        });
        assert!(told.load(Ordering::SeqCst) >= 1, "round {round}");
        assert_eq!(store.content(&uid), file);
    }
}

/// Uneven chunks that come at the same time never share a place.
#[test]
fn chunks_at_the_tail_do_not_overlap() {
    for round in 0..50 {
        let file = seeded_bytes(64_000, round);
        // Sizes 100, 1900, 100, ...: no grid fits.
        let cuts: Vec<usize> = (0..64).map(|number| number / 2 * 2000 + number % 2 * 100).chain([64_000]).collect();
        let store = TestStore::new();
        let chunk = |uid: &str, number: usize| {
            let chunk = Chunk {
                upload_uid: uid,
                total_size: 64_000,
                chunk_number: number as u64,
                chunk_count: 64,
                content: &file[cuts[number]..cuts[number + 1]],
                ..Chunk::default()
            };
            store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
        };
        let uid = chunk("", 1);
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for part in 0..4 {
                let (chunk, uid) = (&chunk, &uid);
                senders.push(scope.spawn(move || (part..64).step_by(4).for_each(|number| drop(chunk(uid, number)))));
            }
            join(senders);
        });
        assert_eq!(store.content(&uid), file);
    }
}

/// Real SIGKILLs at random instants within large replacing writes: the chunk is the old one, the new one or missing,
/// never a mixture.
#[test]
fn killed_within_a_replacing_write() {
    let size = 8 << 20;
    let (old, new) = (bytes(2 * size), seeded_bytes(2 * size, 2));
    let store = TestStore::new();
    let uid = store.send_all(&old, size);
    let (mut missing, mut whole) = (0, 0);
    // Repeats until enough kills hit a write, which depends on the machine.
    for round in 0..2000_u32 {
        if missing >= 5 && whole > 0 {
            break;
        }
        // SAFETY: the child makes calls of the store only, and is killed.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let (mut file, mut other) = (&new, &old);
            loop {
                let _ = send(&store, &uid, file, size, 0);
                std::mem::swap(&mut file, &mut other);
            }
        }
        std::thread::sleep(Duration::from_micros(2000 + u64::from(round * 7919 % 15_000)));
        // SAFETY: `pid` is our child; the only pointer is null.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
        let copy = TestStore::new();
        crate::common::copy_directory(&store.root().join(&uid), &copy.root().join(&uid));
        match copy.get(&uid) {
            Ok(finished) => {
                whole += 1;
                let content = std::fs::read(finished.path).unwrap();
                assert!(content[..size] == old[..size] || content[..size] == new[..size], "round {round}: a mixture");
                assert!(content[size..] == old[size..]);
            }
            Err(error) => {
                missing += 1;
                assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
            }
        }
    }
    eprintln!("{missing} of {} kills hit a write", missing + whole);
    assert!(missing >= 5, "kills hit writes");
    send(&store, &uid, &new, size, 0).unwrap();
    assert_eq!(store.content(&uid), [&new[..size], &old[size..]].concat());
}

//! Forks in the middle of calls, a thousand threads, and a disk that fills up under several processes.

use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::common::{Memory, TestStore, bytes, chunk_count, in_child, join, kill_self, send};
use chunked_upload::{Error, ErrorKind, Options, Store, test_hooks};

/// Forks a child that lives until this process closes its end of the pipe. The child runs no code of the engine.
fn forked_idler() -> (libc::pid_t, std::io::PipeWriter) {
    let (mut until, keep) = std::io::pipe().unwrap();
    // SAFETY: the child makes system calls only, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        // SAFETY: this closes the child's own copy of the writing end, with which it would wait for itself.
        unsafe { libc::close(keep.as_raw_fd()) };
        let _ = until.read(&mut [0]);
        // SAFETY: ends this process without running anything.
        unsafe { libc::_exit(0) };
    }
    (pid, keep)
}

fn reap(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `status` has room for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
}

/// Forks a child that lives until the test's process closes its writing end of this pipe, and kills this process.
fn leave_child_and_die((until, keep): (RawFd, RawFd)) -> ! {
    // SAFETY: the child makes system calls only, and leaves by _exit. The descriptors are open, the buffer has a byte.
    unsafe {
        if libc::fork() == 0 {
            libc::close(keep);
            libc::read(until, [0_u8].as_mut_ptr().cast(), 1);
            libc::_exit(0);
        }
    }
    kill_self()
}

/// Sends a chunk in a thread. The thread stops in the middle, while it holds the chunk's lock, and runs `meanwhile`.
fn in_mid_chunk(store: &TestStore, uid: &str, file: &[u8], meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        let (reached, at_step) = channel();
        let (go_on, word) = channel::<()>();
        let sender = scope.spawn(move || {
            test_hooks::set_hook(Some(Rc::new(move |step| {
                if step == "receive:locked" {
                    reached.send(()).unwrap();
                    word.recv().unwrap();
                }
                Ok(())
            })));
            store.send(uid, file, 100, 1).unwrap();
        });
        at_step.recv().unwrap();
        meanwhile();
        go_on.send(()).unwrap();
        sender.join().unwrap();
    });
}

/// A child inherits every open pipe of this process, and delays a reader that waits for the end of a pipe. So the tests
/// that fork during a call take turns.
static FORKING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The child shares the open file, but the call releases the lock for both.
#[test]
fn a_child_forked_in_mid_call_holds_nobody_up() {
    let _turn = FORKING.lock();
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.first(&file, 100, 0);
    let mut idler = None;
    in_mid_chunk(&store, &uid, &file, || idler = Some(forked_idler()));
    // The child lives, and chunk 1 is free.
    for number in 0..10 {
        store.send(&uid, &file, 100, number).unwrap();
    }
    assert_eq!(store.content(&uid), file);
    let (pid, keep) = idler.unwrap();
    drop(keep);
    reap(pid);
}

/// If the parent is killed there, the child holds the lock until it exits. Then the upload continues.
#[test]
fn a_child_whose_parent_was_killed_in_mid_call_holds_up_one_chunk_until_it_exits() {
    let _turn = FORKING.lock();
    let store = TestStore::new();
    let file = bytes(1000);
    let uid = store.first(&file, 100, 0);
    let (until, keep) = std::io::pipe().unwrap();
    let ends = (until.as_raw_fd(), keep.as_raw_fd());
    in_child(|| in_mid_chunk(&store, &uid, &file, || leave_child_and_die(ends)));
    for number in (0..10).filter(|&number| number != 1) {
        store.send(&uid, &file, 100, number).unwrap();
    }
    std::thread::scope(|scope| {
        let (answered, answer) = channel();
        let (waiting, uid, file) = (&store, &uid, &file);
        let sender = scope.spawn(move || answered.send(waiting.send(uid, file, 100, 1).is_ok()).unwrap());
        assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "the grandchild has the lock");
        drop(keep);
        assert!(answer.recv().unwrap());
        join(vec![sender]);
    });
    assert_eq!(store.content(&uid), file);
}

/// The lock of the whole store, which a first chunk takes if the store has a limit. First chunks wait, all other calls
/// continue.
#[test]
fn a_child_whose_parent_was_killed_in_a_first_chunk_holds_up_first_chunks_until_it_exits() {
    let _turn = FORKING.lock();
    let store = TestStore::with(Options { max_store_size: 5 * (1000 + 8192), ..Options::default() });
    let unlimited = store.reopened(Options::default());
    let file = bytes(1000);
    let (begun, whole) = (store.first(&file, 100, 0), store.send_all(&file, 100));
    let (until, keep) = std::io::pipe().unwrap();
    let ends = (until.as_raw_fd(), keep.as_raw_fd());
    in_child(|| {
        test_hooks::set_hook(Some(Rc::new(move |step| {
            if step == "budget:added" {
                leave_child_and_die(ends);
            }
            Ok(())
        })));
        store.first(&file, 100, 0);
    });
    std::thread::scope(|scope| {
        let (answered, answer) = channel();
        let (limited, file) = (&store, &file);
        let sender = scope.spawn(move || answered.send(limited.first(file, 100, 0)).unwrap());
        assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "the grandchild has the lock");
        (1..10).for_each(|number| assert_eq!(store.send(&begun, file, 100, number).unwrap().received_all, number == 9));
        assert_eq!(store.content(&begun), *file);
        assert_eq!(store.content(&whole), *file);
        assert_eq!(store.inspect(&whole, 0).unwrap().received_count, 10);
        assert_eq!(store.verify(&whole).unwrap().damaged_count, 0);
        assert_eq!(store.list().unwrap().count(), 2);
        let other = send(&unlimited, "", file, 1000, 0).unwrap().upload_uid.to_string();
        assert_eq!(store.content(&other), *file);
        assert!(answer.try_recv().is_err());
        drop(keep);
        answer.recv().unwrap();
        join(vec![sender]);
    });
    // The killed process's chunk takes no room: there are four uploads.
    store.first(&file, 100, 0);
    assert_eq!(send(&store, "", &file, 100, 0).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

/// Forks while another thread makes the first call of this process; the children make calls, too. Returns how many
/// children did not succeed.
fn fork_in_first_call(root: &str, delay: Duration) -> usize {
    const FORKERS: usize = 3;
    // The first fork sets up the tests' own code, which is not under test.
    in_child(|| {});
    let store = Store::open(root, Options::default()).unwrap();
    let begin = Barrier::new(FORKERS + 1);
    std::thread::scope(|scope| {
        let forkers: Vec<_> = (0..FORKERS as u32)
            .map(|forker| {
                let (store, begin) = (&store, &begin);
                scope.spawn(move || {
                    begin.wait();
                    let begun = Instant::now();
                    while begun.elapsed() < delay * (forker + 1) {
                        std::hint::spin_loop();
                    }
                    in_child(|| {
                        // SAFETY: no pointers are passed. The signal ends a child that hangs.
                        unsafe { libc::alarm(20) };
                        send(store, "", b"content", 7, 0).unwrap();
                    })
                })
            })
            .collect();
        begin.wait();
        send(&store, "", b"content", 7, 0).unwrap();
        forkers.into_iter().map(|forker| forker.join().unwrap()).filter(|ended| !ended.success()).count()
    })
}

/// A first call that sets up state of the process must not leave a child with half of it. Each round is a new process.
#[test]
fn children_forked_during_the_first_call_make_calls() {
    const ROUND: &str = "UPLOAD_FORK_IN_FIRST_CALL";
    if let Ok(round) = std::env::var(ROUND) {
        let (delay, root) = round.split_once(' ').unwrap();
        assert_eq!(
            fork_in_first_call(root, Duration::from_nanos(delay.parse().unwrap())),
            0,
            "children failed or hung"
        );
        return;
    }
    let store = TestStore::new();
    for round in 0..240 * crate::common::rounds() {
        let round = format!("{} {}", round % 20 * 1000, store.root().display());
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "forks::children_forked_during_the_first_call_make_calls", "--nocapture"])
            .env(ROUND, &round);
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{round}: {text}");
    }
}

/// Where a filter refuses getrandom(2), uids come from /dev/urandom. The call closes it again.
#[test]
fn without_getrandom_no_descriptor_stays_open() {
    let _turn = FORKING.lock();
    let store = TestStore::new();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    for errno in [libc::EPERM, libc::ENOSYS] {
        let ended = in_child(|| {
            crate::common::refuse(libc::SYS_getrandom, None, errno);
            let before = descriptors();
            assert_ne!(store.first(b"content", 7, 0), store.first(b"content", 7, 0));
            assert_eq!(descriptors(), before);
        });
        assert!(ended.success(), "{ended:?}");
    }
}

#[test]
fn a_thousand_threads_on_one_store() {
    let store = TestStore::new();
    let file = bytes(100_000);
    let uid = store.first(&file, 100, 0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..1000)
            .map(|number| {
                let (store, uid, file) = (&store, &uid, &file);
                let small = std::thread::Builder::new().stack_size(256 << 10);
                let send = move || {
                    store.send(uid, file, 100, number).unwrap();
                    if number % 50 == 0 {
                        match store.get(uid) {
                            Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), *file),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}"),
                        }
                    }
                    if number % 10 == 0 {
                        let other = store.first(file, 100_000, 0);
                        assert_eq!(store.content(&other), *file);
                    }
                };
                small.spawn_scoped(scope, send).unwrap()
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert_eq!(store.content(&uid), file);
}

/// Processes send until the disk is full. Each gets `no_space`, and all finish when there is room again.
#[test]
fn uploads_that_race_until_the_disk_is_full() {
    const UPLOADS: usize = 6;
    const CHUNK: usize = 256 << 10;
    let Some(memory) = Memory::mount("size=8m") else { return };
    let store =
        Store::open(memory.path().join("uploads"), Options { min_free_space: 0, ..Options::default() }).unwrap();
    let file = bytes(3 << 20);
    let count = chunk_count(&file, CHUNK);
    let uids: Vec<String> =
        (0..UPLOADS).map(|_| send(&store, "", &file, CHUNK, 0).unwrap().upload_uid.to_string()).collect();
    let is_full = |result: Result<_, Error>| match result {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NoSpace => true,
        Err(error) => panic!("{error}"),
    };
    std::thread::scope(|scope| {
        let processes: Vec<_> = uids
            .iter()
            .map(|uid| {
                let (store, file) = (&store, &file);
                scope.spawn(move || {
                    // Two chunks may succeed before the others meet the full disk.
                    let refused = || (1..count).any(|number| is_full(send(store, uid, file, CHUNK, number)));
                    in_child(|| {
                        if !refused() {
                            std::process::abort()
                        }
                    })
                })
            })
            .collect();
        let refused = processes.into_iter().map(|process| process.join().unwrap().success());
        assert!(refused.filter(|refused| *refused).count() >= UPLOADS - 2, "there is room for two");
    });
    assert_eq!(send(&store, "", &file, CHUNK, 0).unwrap_err().kind(), ErrorKind::NoSpace);
    memory.remount("size=64m");
    for uid in &uids {
        for number in store.inspect(uid, 0).unwrap().missing.into_iter().flatten() {
            send(&store, uid, &file, CHUNK, number).unwrap();
        }
        assert_eq!(std::fs::read(store.get(uid).unwrap().path).unwrap(), file);
    }
}

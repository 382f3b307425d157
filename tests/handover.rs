//! What happens to a file at its destination while `move_to` is at work.

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{TestStore, bytes, in_child};

/// A directory on another file system than that of temporary files. `None`, said aloud, where there is none.
fn other_file_system() -> Option<tempfile::TempDir> {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let here = device(&std::env::temp_dir());
    let found = ["/dev/shm", "/var/tmp", "/run"].iter().map(Path::new).find(|place| device(place) != here);
    let dir = found.and_then(|place| tempfile::tempdir_in(place).ok());
    if dir.is_none() {
        common::skip("no second file system here");
    }
    dir
}

/// A program with a timer whose signal interrupts system calls.
#[test]
fn signals_do_not_end_a_copy() {
    const SIZE: usize = 24 << 20;
    let file = bytes(SIZE);
    let store = TestStore::new();
    let Some(far) = other_file_system() else { return };
    let uids: Vec<_> = (0..8).map(|_| store.send_all(&file, SIZE)).collect();
    let status = in_child(|| {
        extern "C" fn handler(_: i32) {}
        // SAFETY: the structures are plain C ones for which all zeros is a value, and outlive the calls; the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(i32) as usize;
            assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
            let often = libc::timeval { tv_sec: 0, tv_usec: 300 };
            let timer = libc::itimerval { it_interval: often, it_value: often };
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
        }
        for uid in &uids {
            store.move_to(uid, far.path().join(uid), false).unwrap();
        }
    });
    assert!(status.success(), "{status:?}");
    for uid in &uids {
        assert!(std::fs::read(far.path().join(uid)).unwrap() == file);
    }
}

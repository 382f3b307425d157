//! A disk that fails for a moment: the kernel reports a failed write-back once, and then forgets it. So what could not be
//! synced is written again before it is synced again.

mod common;

use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use chunked_upload::{Durability, Options, seam};
use common::{CUTS, TestStore, bytes, cut, steps};

fn store(durability: Durability) -> TestStore {
    TestStore::with(Options { durability, ..Options::default() })
}

/// While `call` runs, each sync of this name fails.
fn failing<T>(sync: &'static str, call: impl FnOnce() -> T) -> T {
    let fail = move |step| if step == sync { Err(std::io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) };
    seam::set_hook(Some(Rc::new(fail)));
    let answer = call();
    seam::set_hook(None);
    answer
}

/// Into a new file: on ext4 bytes that are written again over blocks whose first write-back failed read as zeros later.
#[test]
fn a_finished_file_that_could_not_be_synced_is_a_new_one() {
    let file = bytes(1000);
    let store = store(Durability::Complete);
    let uid = store.send_all(&file, 100);
    let inode = |name| std::fs::metadata(store.path(&uid, name)).unwrap().ino();
    let mut before = inode("data");
    for sync in ["synced:file", "synced:state", "synced:names"] {
        let error = failing(sync, || store.get(&uid)).unwrap_err();
        assert_eq!(error.os_errno(), Some(libc::EIO), "{sync}");
        assert_ne!(inode("file"), before, "{sync}");
        before = inode("file");
        assert!(!store.path(&uid, "again").exists());
    }
    assert_eq!(store.content(&uid), file);
}

#[test]
fn a_rewritten_file_that_could_not_be_synced_is_rewritten() {
    let file = bytes(350);
    let store = store(Durability::Complete);
    let uid = store.send_pieces(&cut(&file, CUTS[1]), &[3, 2, 1, 0]);
    let error = failing("synced:ordered", || store.get(&uid)).unwrap_err();
    assert_eq!(error.os_errno(), Some(libc::EIO));
    assert!(!store.path(&uid, "ordered").exists());
    assert_eq!(store.content(&uid), file);
}

#[test]
fn a_slot_that_could_not_be_synced_is_written_again() {
    let file = bytes(1000);
    let store = store(Durability::Chunk);
    let uid = store.first(&file, 100, 0);
    let error = failing("synced:state", || store.send(&uid, &file, 100, 1)).unwrap_err();
    assert_eq!(error.os_errno(), Some(libc::EIO));
    let steps = steps(|| assert!(store.send(&uid, &file, 100, 1).is_ok()));
    assert_eq!(steps, ["receive:locked", "receive:recorded", "synced:state"]);
}

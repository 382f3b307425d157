//! Files that other users of a shared directory may plant are never followed, opened blocking, or deleted through.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::common::{TestStore, bytes, entries, seeded_bytes};
use chunked_upload::{ErrorKind, Expiry, Options, Store};

/// The things that are planted under a name.
const PLANTS: [&str; 5] = ["a link to a file", "a link to a directory", "a FIFO", "a directory", "a huge file"];

fn plant(what: &str, at: &Path, victim: &Path) {
    match what {
        "a link to a file" => symlink(victim.join("precious"), at).unwrap(),
        "a link to a directory" => symlink(victim, at).unwrap(),
        "a FIFO" => {
            let path = std::ffi::CString::new(at.to_str().unwrap()).unwrap();
            // SAFETY: the path is NUL-terminated.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o666) }, 0);
        }
        "a directory" => {
            std::fs::create_dir(at).unwrap();
            std::fs::write(at.join("inside"), "theirs").unwrap();
        }
        _ => std::fs::File::create(at).unwrap().set_len(1 << 40).unwrap(),
    }
}

fn victim(store: &TestStore) -> std::path::PathBuf {
    let victim = store.dir.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("precious"), bytes(1000)).unwrap();
    victim
}

/// An empty file has no bytes to read. The planted file must be noticed all the same.
#[test]
fn a_fifo_is_no_finished_file() {
    let store = TestStore::new();
    let uid = store.send_content("", 0, 1, 0, b"");
    let data = store.path(&uid, "data");
    std::fs::remove_file(&data).unwrap();
    plant("a FIFO", &data, &victim(&store));
    assert_eq!(store.get(&uid).unwrap_err().os_errno(), Some(libc::EBADMSG));
}

/// Makes every call on an upload. The calls must not hang or panic, and never return wrong bytes.
fn everything(store: &Store, uid: &str, file: &[u8]) {
    for content in [seeded_bytes(1000, 2), file.to_vec()] {
        for number in [0, 9, 0] {
            let _ = crate::common::send(store, uid, &content, 100, number);
        }
    }
    let _ = store.inspect(uid, 0);
    let _ = store.verify(uid);
    let _ = store.list().unwrap().count();
    if let Ok(finished) = store.get(uid) {
        assert!(finished.path.symlink_metadata().unwrap().is_file());
    }
}

#[test]
fn in_the_place_of_an_upload_or_the_store_s_own_records() {
    for what in PLANTS {
        let store = TestStore::with(Options { max_store_size: 10_000, ..Options::default() });
        let victim = victim(&store);
        let real = store.send_all(&bytes(1000), 100);
        let uid = "0123456789abcdef0123456789abcdef";
        plant(what, &store.root().join(uid), &victim);
        everything(&store, uid, &bytes(1000));
        for name in ["secret", "secret.new", &format!("{uid}.new"), "something else"] {
            let _ = std::fs::remove_file(store.root().join(name));
            plant(what, &store.root().join(name), &victim);
        }
        for _ in 0..2 {
            let _ = store.uid_for_key(b"a key of at least sixteen bytes");
            // Then only the second file is planted.
            let _ = std::fs::remove_file(store.root().join("secret"));
        }
        let _ = store.remove(uid);
        store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
        assert_eq!(std::fs::read(victim.join("precious")).unwrap(), bytes(1000), "{what}");
        assert_eq!(store.get(&real).unwrap_err().kind(), ErrorKind::NotFound, "{what}: cleaned");
        assert!(store.root().join("something else").symlink_metadata().is_ok(), "{what}: not ours");
        if what == "a directory" {
            assert_eq!(std::fs::read(store.root().join("something else/inside")).unwrap(), b"theirs");
        }
    }
}

#[test]
fn in_the_place_of_an_upload_s_files() {
    for what in PLANTS {
        for name in ["state", "data", "ordered", "file", "claim"] {
            for complete in [false, true] {
                let store = TestStore::new();
                let victim = victim(&store);
                let uid = store.send_all(&bytes(1000), 100);
                if complete {
                    store.get(&uid).unwrap();
                }
                let at = store.path(&uid, name);
                let _ = std::fs::remove_file(&at);
                plant(what, &at, &victim);
                everything(&store, &uid, &bytes(1000));
                if what != "a link to a file" || name != "file" {
                    let _ = store.move_to(&uid, store.dir.path().join("moved"), false);
                }
                let _ = store.remove(&uid);
                let _ = store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
                assert_eq!(std::fs::read(victim.join("precious")).unwrap(), bytes(1000), "{what} as {name}");
                assert_eq!(entries(&victim), ["precious"], "{what} as {name}");
                let moved = std::fs::read(store.dir.path().join("moved"));
                assert!(moved.is_err() || moved.unwrap() == bytes(1000), "{what} as {name}");
            }
        }
    }
}

#[test]
fn a_store_into_which_anybody_can_write_is_refused_unless_sticky() {
    let store = TestStore::new();
    let uid = store.first(&bytes(1000), 100, 0);
    let mode = |mode| std::fs::set_permissions(store.root(), Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    let refusals = [
        Store::open(store.root(), Options::default()).unwrap_err(),
        crate::common::send(&store, "", &bytes(1000), 100, 0).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EPERM)), "{error}");
        assert!(error.to_string().contains("all users can write into the store"), "{error}");
    }
    assert!(Store::open(store.root(), Options { dir_mode: 0o777, ..Options::default() }).is_ok(), "asked for");
    for allowed in [0o1777, 0o775, 0o700] {
        mode(allowed);
        assert!(Store::open(store.root(), Options::default()).is_ok(), "{allowed:o}");
    }
    assert!(store.inspect(&uid, 0).is_ok());
}

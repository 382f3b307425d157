//! A store that other users of the machine can reach. Files that they make before the store does are refused by name.
//! The tests use real users, in child processes that change to them. Also symbolic links in the path of a store.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{as_user, bytes, entries, is_root, send};
use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Receipt, Result, Store};

const VICTIM: u32 = 1000;
const ATTACKER: u32 = 1001;
const GROUP: u32 = 5000;
const KEY: &[u8] = b"a key of at least sixteen bytes";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A directory that all users can reach, and the path of a store in it that does not exist.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o1777);
    let root = dir.path().join("uploads");
    (dir, root)
}

/// A directory that all users can reach, with the store's directory, into which all users can write.
fn sticky() -> (tempfile::TempDir, PathBuf) {
    let (dir, root) = place();
    std::fs::create_dir(&root).unwrap();
    set_mode(&root, 0o1777);
    (dir, root)
}

/// Room for one upload of 10,000 bytes, or for two small ones. Each takes two more blocks.
fn limited() -> Options {
    Options { max_store_size: 10_000 + 8192, ..Options::default() }
}

fn open(root: &Path) -> Store {
    Store::open(root, Options::default()).unwrap()
}

fn send_with_key(store: &Store, number: u64) -> Result<Receipt> {
    let content = [number as u8; 10];
    let chunk = Chunk { upload_key: KEY, total_size: 20, chunk_count: 2, content: &content, ..Chunk::default() };
    store.handle_chunk(&Chunk { chunk_number: number, ..chunk })
}

/// The call was refused, and the error says where.
fn refuses<T: std::fmt::Debug>(result: Result<T>, path: &Path) {
    let error = result.expect_err("refused");
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EPERM)), "{error}");
    assert_eq!(error.path(), Some(path), "{error}");
}

fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o666) }, 0);
    set_mode(Path::new(path.to_str().unwrap()), 0o666);
}

/// Makes an upload as another user who knows the uid would. All users can read and change it.
fn plant_upload(root: &Path, uid: &str) {
    let own = tempfile::tempdir().unwrap();
    let options = Options { dir_mode: 0o777, file_mode: 0o666, ..Options::default() };
    let store = Store::open(own.path().join("own"), options).unwrap();
    let made = send(&store, "", &bytes(20), 10, 0).unwrap().upload_uid;
    send(&store, made.as_str(), &bytes(20), 10, 1).unwrap();
    std::fs::create_dir(root.join(uid)).unwrap();
    set_mode(&root.join(uid), 0o777);
    crate::common::copy_directory(&store.root().join(made.as_str()), &root.join(uid));
    for name in entries(&root.join(uid)) {
        set_mode(&root.join(uid).join(name), 0o666);
    }
}

#[test]
fn a_planted_upload_is_not_used() {
    let (_dir, root) = sticky();
    let uid_file = root.with_file_name("uid");
    if !as_user(VICTIM, &[], || std::fs::write(&uid_file, open(&root).uid_for_key(KEY).unwrap().as_str()).unwrap()) {
        return;
    }
    let uid = std::fs::read_to_string(&uid_file).unwrap();
    let other = "0123456789abcdef0123456789abcdef";
    let aside = "1123456789abcdef0123456789abcdef.new";
    let before = |name: &str| std::fs::read(root.join(name).join("state")).unwrap();
    as_user(ATTACKER, &[], || [&uid, other, aside].into_iter().for_each(|name| plant_upload(&root, name)));
    let planted = [&uid, other, aside].map(before);
    as_user(VICTIM, &[], || {
        let store = Store::open(&root, limited()).unwrap();
        let place = root.join(&uid);
        refuses(send_with_key(&store, 0), &place);
        refuses(send(&store, &uid, &bytes(20), 10, 0), &place);
        refuses(store.get(&uid), &place);
        refuses(store.inspect(&uid, 0), &place);
        refuses(store.verify(&uid), &place);
        refuses(store.move_to(&uid, root.with_file_name("moved"), true), &place);
        refuses(store.remove(&uid), &place);
        assert_eq!(store.list().unwrap().count(), 0);
        let cleaned = store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
        assert_eq!((cleaned.removed.len(), cleaned.failed_count), (0, 0));
        // The planted upload is not in the sum.
        let whole = Chunk { total_size: 10_000, chunk_count: 2, content: b"x", ..Chunk::default() };
        let own = store.handle_chunk(&whole).unwrap().upload_uid;
        assert_eq!(store.list().unwrap().map(|listed| listed.unwrap().uid).collect::<Vec<_>>(), [own]);
        store.remove(own.as_str()).unwrap();
    });
    assert_eq!([&uid, other, aside].map(before), planted, "not written either");
}

/// Links, FIFOs, empty directories and files are planted in the place of an upload.
#[test]
fn a_planted_name_is_not_used() {
    for what in ["a link", "a FIFO", "an empty directory", "a file"] {
        let (dir, root) = sticky();
        let (uid_file, elsewhere) = (dir.path().join("uid"), dir.path().join("elsewhere"));
        let learn = || {
            std::fs::write(&uid_file, open(&root).uid_for_key(KEY).unwrap().as_str()).unwrap();
            std::fs::create_dir(&elsewhere).unwrap();
        };
        if !as_user(VICTIM, &[], learn) {
            return;
        }
        let place = root.join(std::fs::read_to_string(&uid_file).unwrap());
        as_user(ATTACKER, &[], || match what {
            "a link" => symlink(&elsewhere, &place).unwrap(),
            "a FIFO" => make_fifo(&place),
            "an empty directory" => std::fs::create_dir(&place).unwrap(),
            _ => std::fs::write(&place, "").unwrap(),
        });
        as_user(VICTIM, &[], || {
            let error = send_with_key(&open(&root), 0).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*place)), "{what}: {error}");
        });
        assert_eq!(entries(&elsewhere), [""; 0], "{what}");
    }
}

#[test]
fn planted_records_are_not_used() {
    for what in ["a file", "a FIFO", "a directory", "a link", "a second name"] {
        for name in ["secret", "promised"] {
            let (dir, root) = sticky();
            let (planted, precious) = (root.join(name), dir.path().join("precious"));
            let keep = || {
                std::fs::write(&precious, [7; 32]).unwrap();
                set_mode(&precious, 0o600);
            };
            if !as_user(VICTIM, &[], keep) {
                return;
            }
            let plant = || match what {
                "a file" => {
                    std::fs::write(&planted, [7; 32]).unwrap();
                    set_mode(&planted, 0o666);
                }
                "a FIFO" => make_fifo(&planted),
                "a directory" => {
                    std::fs::create_dir(&planted).unwrap();
                    set_mode(&planted, 0o777);
                }
                "a link" => symlink(&precious, &planted).unwrap(),
                _ => unreachable!(),
            };
            match what {
                // An attacker can do this if fs.protected_hardlinks is off.
                "a second name" => std::fs::hard_link(&precious, &planted).unwrap(),
                _ => assert!(as_user(ATTACKER, &[], plant)),
            }
            as_user(VICTIM, &[], || {
                let store = Store::open(&root, limited()).unwrap();
                let attempts = || match name {
                    "secret" => [store.uid_for_key(KEY).map(drop), send_with_key(&store, 0).map(drop)],
                    _ => [0, 1].map(|_| send(&store, "", &bytes(20), 10, 0).map(drop)),
                };
                for attempt in attempts() {
                    let error = attempt.expect_err(what);
                    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*planted)), "{what}: {error}");
                    if !["a directory", "a link"].contains(&what) {
                        assert_eq!(error.os_errno(), Some(libc::EPERM), "{what}: {error}");
                    }
                }
                assert_eq!(store.list().unwrap().count(), 0);
            });
            assert_eq!(std::fs::read(&precious).unwrap(), [7; 32], "{what} as {name}");
            assert_eq!(entries(&root), [name], "{what}");
        }
    }
}

/// The name under which a secret is made is known. If it is taken, another name is used.
#[test]
fn a_planted_name_does_not_keep_a_secret_from_being_made() {
    for what in ["a file", "a FIFO", "a directory", "a link"] {
        let (dir, root) = sticky();
        let (planted, precious) = (root.join("secret.new"), dir.path().join("precious"));
        let plant = || match what {
            "a file" => {
                std::fs::write(&planted, "theirs").unwrap();
                set_mode(&planted, 0o666);
            }
            "a FIFO" => make_fifo(&planted),
            "a directory" => {
                std::fs::create_dir(&planted).unwrap();
                set_mode(&planted, 0o777);
            }
            _ => symlink(&precious, &planted).unwrap(),
        };
        if !as_user(ATTACKER, &[], plant) {
            return;
        }
        let made = || {
            std::fs::write(&precious, [7; 32]).unwrap();
            let store = open(&root);
            let uid = send_with_key(&store, 0).unwrap().upload_uid;
            assert_eq!(store.uid_for_key(KEY).unwrap(), uid, "{what}");
            assert!(send_with_key(&store, 1).unwrap().received_all);
            assert_eq!(std::fs::read(store.get(uid.as_str()).unwrap().path).unwrap().len(), 20);
        };
        as_user(VICTIM, &[], made);
        assert_eq!(std::fs::read(&precious).unwrap(), [7; 32], "{what}");
        assert_eq!(root.join("secret").metadata().unwrap().uid(), VICTIM);
        assert_eq!(planted.symlink_metadata().unwrap().uid(), ATTACKER);
        assert_eq!(entries(&root).len(), 3, "{what}: {:?}", entries(&root));
    }
}

#[test]
fn a_store_that_another_user_made_is_refused() {
    for (mode, name) in [(0o1777, "uploads"), (0o755, "uploads"), (0o750, "uploads"), (0o755, "above/uploads")] {
        let (dir, _) = place();
        let root = dir.path().join(name);
        let opened = open(&root);
        let plant = || {
            std::fs::create_dir_all(&root).unwrap();
            if name.contains('/') {
                set_mode(root.parent().unwrap(), 0o755);
            }
            set_mode(&root, mode);
        };
        if !as_user(ATTACKER, &[], plant) {
            return;
        }
        as_user(VICTIM, &[], || {
            refuses(Store::open(&root, Options::default()), &root);
            refuses(send(&opened, "", &bytes(20), 10, 0), &root);
            refuses(send_with_key(&opened, 0), &root);
            refuses(opened.uid_for_key(KEY), &root);
        });
        assert_eq!(entries(&root), [""; 0], "{mode:o}");
    }
}

/// A group that shares a store trusts its members, and all of them can use its files.
#[test]
fn a_group_shares_a_store() {
    if !is_root() {
        return;
    }
    let (_dir, root) = place();
    let options = Options { dir_mode: 0o2770, file_mode: 0o660, max_store_size: 100_000, ..Options::default() };
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(1002), Some(GROUP)).unwrap();
    set_mode(&root, 0o2770);
    let open_shared = || Store::open(&root, options.clone()).unwrap();
    let first = || {
        let store = open_shared();
        send_with_key(&store, 0).unwrap();
        assert_eq!(store.list().unwrap().count(), 1);
    };
    as_user(VICTIM, &[GROUP], first);
    as_user(ATTACKER, &[GROUP], || {
        let reopened = open_shared();
        let receipt = send_with_key(&reopened, 1).unwrap();
        assert!(receipt.received_all);
        let path = reopened.get(receipt.upload_uid.as_str()).unwrap().path;
        assert_eq!(std::fs::read(path).unwrap(), [[0; 10], [1; 10]].concat());
    });
    as_user(VICTIM, &[GROUP], || {
        assert_eq!(open_shared().cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().removed.len(), 1)
    });
    // This user is not in the group.
    as_user(1003, &[], || refuses(Store::open(&root, Options::default()), &root));
}

/// Each user's own uploads in a directory into which all users can write.
#[test]
fn users_share_a_sticky_directory() {
    let (_dir, root) = sticky();
    for user in [VICTIM, ATTACKER, 0] {
        let store = Store::open(&root, Options { prefix: format!("{user}-"), ..limited() }).unwrap();
        let live = || {
            let uid = send_with_key(&store, 1).unwrap().upload_uid;
            assert!(send_with_key(&store, 0).unwrap().received_all);
            assert_eq!(store.list().unwrap().count(), 1);
            store.get(uid.as_str()).unwrap();
            let other = send(&store, "", &bytes(20), 20, 0).unwrap().upload_uid;
            store.move_to(other.as_str(), root.with_file_name(format!("of {user}")), false).unwrap();
            assert_eq!(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().removed.len(), 2);
        };
        if !as_user(user, &[], live) {
            return;
        }
    }
    assert_eq!(entries(&root).len(), 6, "of each user the secret and the sum");
}

/// For another user, an unreadable upload is like an unknown one. A server that cannot read its own upload gets the
/// reason.
#[test]
fn what_another_user_keeps_closed_is_not_found() {
    if !is_root() {
        return;
    }
    let (dir, root) = place();
    let uid_file = dir.path().join("uid");
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, None, Some(GROUP)).unwrap();
    set_mode(&root, 0o2770);
    let store = open(&root);
    let make = || {
        let uid = send(&store, "", &bytes(20), 10, 0).unwrap().upload_uid;
        std::fs::write(&uid_file, uid.as_str()).unwrap();
    };
    as_user(VICTIM, &[GROUP], make);
    let uid = std::fs::read_to_string(&uid_file).unwrap();
    // First the directory is closed, then only `state`.
    for mode in [0o700, 0o755] {
        set_mode(&root.join(&uid), mode);
        as_user(ATTACKER, &[GROUP], || {
            for error in [
                store.get(&uid).unwrap_err(),
                store.inspect(&uid, 0).unwrap_err(),
                send(&store, &uid, &bytes(20), 10, 1).unwrap_err(),
                store.remove(&uid).unwrap_err(),
            ] {
                assert!(matches!(error, Error::NotFound { .. }), "{error}");
                assert!(!format!("{error} {error:?}").contains(&uid));
            }
            assert_eq!(store.list().unwrap().count(), 0);
            assert_eq!(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().failed_count, 1, "an administrator");
        });
    }
    for (path, mode) in [(root.join(&uid), 0), (root.join(&uid), 0o700), (root.join(&uid).join("state"), 0)] {
        set_mode(&path, mode);
        as_user(VICTIM, &[GROUP], || match store.get(&uid).unwrap_err() {
            Error::Incomplete { .. } => assert_eq!(mode, 0o700),
            error => {
                assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EACCES)), "{error}");
                assert_eq!(error.path(), Some(&*path));
                assert!(!error.to_string().contains(&uid), "{error}");
            }
        });
    }
}

// --- symbolic links ---

/// Makes all calls in a store at `path` that is really at `real`.
fn works(path: &Path, real: &Path) {
    let store = Store::open(path, limited()).unwrap();
    assert_eq!(store.root(), real);
    let plain = send(&store, "", &bytes(20), 10, 0).unwrap().upload_uid;
    assert!(send(&store, plain.as_str(), &bytes(20), 10, 1).unwrap().received_all);
    assert_eq!(store.get(plain.as_str()).unwrap().path, real.join(plain.as_str()).join("file"));
    let keyed = send_with_key(&store, 0).unwrap().upload_uid;
    assert_eq!(store.uid_for_key(KEY).unwrap(), keyed);
    assert_eq!(store.list().unwrap().count(), 2);
    let moved = real.with_file_name(format!("moved {}", plain));
    store.move_to(plain.as_str(), &moved, false).unwrap();
    assert_eq!(std::fs::read(moved).unwrap(), bytes(20));
    assert_eq!(store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().removed.len(), 2);
    assert_eq!(entries(real), ["promised", "secret"]);
}

#[test]
fn links_in_the_path_are_resolved_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let (real, link) = (base.join("real"), base.join("link"));
    std::fs::create_dir_all(real.join("uploads")).unwrap();
    symlink("real", &link).unwrap();
    symlink("real/uploads", base.join("store")).unwrap();
    works(&link.join("uploads"), &real.join("uploads"));
    for spelling in ["store", "store/", "store/.", "./store//", "link/../store"] {
        works(&base.join(spelling), &real.join("uploads"));
    }
    works(&link.join("not made yet"), &real.join("not made yet"));
    // The link is changed after the opening: the store stays where it is.
    let store = Store::open(base.join("store"), Options::default()).unwrap();
    let uid = send(&store, "", &bytes(20), 10, 0).unwrap().upload_uid;
    std::fs::remove_file(base.join("store")).unwrap();
    std::fs::create_dir(base.join("store")).unwrap();
    send(&store, uid.as_str(), &bytes(20), 10, 1).unwrap();
    assert_eq!(std::fs::read(store.get(uid.as_str()).unwrap().path).unwrap(), bytes(20));
    let dangling = base.join("dangling");
    symlink("nowhere", &dangling).unwrap();
    let error = Store::open(&dangling, Options::default()).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::ENOENT)), "{error}");
}

#[test]
fn a_link_in_the_place_of_the_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let (root, elsewhere) = (base.join("uploads"), base.join("elsewhere"));
    let other = Store::open(&elsewhere, limited()).unwrap();
    let uid = send(&other, "", &bytes(20), 10, 0).unwrap().upload_uid.to_string();
    send_with_key(&other, 0).unwrap();
    let before = entries(&elsewhere);
    let store = Store::open(&root, limited()).unwrap();
    symlink(&elsewhere, &root).unwrap();
    refuses(send(&store, "", &bytes(20), 10, 0), &root);
    refuses(send_with_key(&store, 0), &root);
    refuses(store.uid_for_key(KEY), &root);
    refuses(send(&store, &uid, &bytes(20), 10, 1), &root);
    refuses(store.get(&uid), &root);
    refuses(store.move_to(&uid, base.join("moved"), true), &root);
    refuses(store.remove(&uid), &root);
    refuses(store.list(), &root);
    refuses(store.cleanup(&Expiry::older_than(Duration::ZERO)), &root);
    assert_eq!(entries(&elsewhere), before);
}

#[test]
fn a_link_of_another_user_is_refused() {
    let (_dir, root) = place();
    let elsewhere = root.with_file_name("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    set_mode(&elsewhere, 0o1777);
    symlink(&elsewhere, &root).unwrap();
    if lchown(&root, Some(ATTACKER), None).is_err() {
        return crate::common::skip("only root can give a link away");
    }
    as_user(VICTIM, &[], || {
        for path in [root.clone(), root.join(""), root.join(".")] {
            refuses(Store::open(path, Options::default()), &root);
        }
    });
    for owner in [VICTIM, 0] {
        lchown(&root, Some(owner), None).unwrap();
        as_user(VICTIM, &[], || assert_eq!(open(&root).root(), elsewhere));
    }
}

//! Bad input and a bad environment: each has its named error, and nothing is left.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Memory, TestStore, bytes, entries, seeded_bytes};
use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Store, test_hooks};

/// Everything below a directory, with sizes.
fn listing(path: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for name in entries(path) {
        let inner = path.join(&name);
        found.push((inner.to_str().unwrap().into(), inner.metadata().unwrap().len()));
        if inner.is_dir() {
            found.extend(listing(&inner));
        }
    }
    found
}

fn good() -> Chunk<'static> {
    Chunk { file_name: "a", total_size: 10, chunk_count: 3, content: b"1234", ..Chunk::default() }
}

#[test]
fn a_refused_first_chunk_leaves_nothing() {
    let store =
        TestStore::with(Options { max_total_size: 100, max_chunk_count: 5, min_free_space: 0, ..Options::default() });
    let long = "x".repeat(4097);
    let cases = [
        (Chunk { chunk_count: 0, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { chunk_number: 3, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { chunk_number: u64::MAX, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { chunk_count: u64::MAX, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { total_size: u64::MAX, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { total_size: 3, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { total_size: 0, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { chunk_count: 1, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { file_name: "a\0b", ..good() }, ErrorKind::InvalidArgument),
        (Chunk { file_name: &long, ..good() }, ErrorKind::InvalidArgument),
        (Chunk { total_size: 101, ..good() }, ErrorKind::LimitExceeded),
        (Chunk { chunk_count: 6, ..good() }, ErrorKind::LimitExceeded),
        (Chunk { upload_uid: "0", ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: "../../../../../../../tmp/x", ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: &"0".repeat(32), ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: &"A".repeat(32), ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: &"日".repeat(32), ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: &"0".repeat(300), ..good() }, ErrorKind::NotFound),
        (Chunk { upload_uid: "a\0", ..good() }, ErrorKind::NotFound),
    ];
    for (chunk, expected) in cases {
        let error = store.handle_chunk(&chunk).unwrap_err();
        assert_eq!(error.kind(), expected, "{chunk:?}");
        assert!(!store.root().exists(), "{chunk:?}");
        assert!(!error.to_string().contains("1234"), "{error} shows content");
    }
}

#[test]
fn a_refused_later_chunk_changes_nothing() {
    let store = TestStore::new();
    let uid = store.handle_chunk(&good()).unwrap().upload_uid.to_string();
    let snapshot = || (listing(store.root()), std::fs::read(store.path(&uid, "state")).unwrap());
    let before = snapshot();
    let later = Chunk { upload_uid: &uid, chunk_number: 1, ..good() };
    let cases = [
        (Chunk { chunk_number: 3, ..later }, ErrorKind::InvalidArgument),
        (Chunk { chunk_count: 0, ..later }, ErrorKind::InvalidArgument),
        (Chunk { content: b"12345678901", ..later }, ErrorKind::InvalidArgument),
        (Chunk { file_name: "a\0b", ..later }, ErrorKind::InvalidArgument),
        (Chunk { total_size: 11, ..later }, ErrorKind::Conflict),
        (Chunk { chunk_count: 4, ..later }, ErrorKind::Conflict),
    ];
    for (chunk, expected) in cases {
        assert_eq!(store.handle_chunk(&chunk).unwrap_err().kind(), expected, "{chunk:?}");
        assert_eq!(snapshot(), before, "{chunk:?}");
    }
}

#[test]
fn limits_say_which_and_how_much() {
    let store = TestStore::with(Options { max_total_size: 9, ..Options::default() });
    let error = store.handle_chunk(&good()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { limit: "max_total_size", value: 9, asked: 10 }), "{error}");
    let store = TestStore::with(Options { max_chunk_count: 2, ..Options::default() });
    let error = store.handle_chunk(&good()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { limit: "max_chunk_count", value: 2, asked: 3 }), "{error}");
    // An upload that was admitted may be finished under any limits.
    let store = TestStore::new();
    let uid = store.first(&bytes(10), 4, 0);
    let strict = store.reopened(Options { max_total_size: 1, max_chunk_count: 1, ..Options::default() });
    crate::common::send(&strict, &uid, &bytes(10), 4, 1).unwrap();
}

#[test]
fn a_table_that_no_file_holds_is_refused() {
    let store = TestStore::with(Options { max_chunk_count: 0, ..Options::default() });
    let chunk = Chunk { total_size: 1 << 62, chunk_count: 1 << 62, content: b"1", ..good() };
    assert_eq!(store.handle_chunk(&chunk).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(entries(store.root()).is_empty());
}

#[test]
fn too_little_room_is_no_space() {
    let store = TestStore::new();
    let error = store.handle_chunk(&Chunk { total_size: 1 << 60, ..good() }).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::NoSpace, Some(libc::ENOSPC)));
    assert_eq!(error.path(), Some(store.root()));
    let store = TestStore::with(Options { min_free_space: u64::MAX, ..Options::default() });
    assert_eq!(store.handle_chunk(&good()).unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(!store.root().exists());
}

/// Each write finds a full disk. The chunk is refused, and the upload continues when there is room again.
#[test]
fn a_full_disk_at_any_step_is_no_space_and_leaves_the_upload_as_it_was() {
    let file = bytes(350);
    for order in [[0, 1, 2, 3], [1, 0, 3, 2]] {
        let pieces = [&file[..90], &file[90..200], &file[200..230], &file[230..]];
        for step in 0.. {
            let store = TestStore::new();
            let uid = store.send_pieces(&pieces, &order[..3]);
            let left = std::cell::Cell::new(step);
            let hook = move |_: &'static str| {
                left.set(left.get() - 1);
                if left.get() == -1 { Err(std::io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
            };
            test_hooks::set_hook(Some(Rc::new(hook)));
            let result = store.send_piece(&uid, &pieces, order[3]);
            test_hooks::set_hook(None);
            if let Err(error) = &result {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            }
            store.send_piece(&uid, &pieces, order[3]).unwrap();
            assert_eq!(store.content(&uid), file);
            if result.is_ok() {
                break;
            }
        }
    }
}

/// A full file system, small and in memory.
#[test]
fn a_really_full_disk() {
    if !crate::common::have(&["dd"]) {
        return;
    }
    let Some(memory) = Memory::mount("size=3m") else { return };
    let root = memory.path().join("uploads");
    let store = Store::open(&root, Options { min_free_space: 0, ..Options::default() }).unwrap();
    let file = bytes(2 << 20);
    let size = 512 << 10;
    let uid = crate::common::send(&store, "", &file, size, 0).unwrap().upload_uid.to_string();
    let filler = memory.path().join("filler");
    let written = std::process::Command::new("dd")
        .args(["if=/dev/zero", &format!("of={}", filler.display()), "bs=64k"])
        .output()
        .unwrap();
    assert!(!written.status.success(), "dd filled it");
    for number in 1..4 {
        let error = crate::common::send(&store, &uid, &file, size, number).unwrap_err();
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::NoSpace, Some(libc::ENOSPC)), "{error}");
        assert!(error.path().unwrap().starts_with(&root));
    }
    let before = listing(&root);
    assert_eq!(crate::common::send(&store, "", &file, size, 0).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(listing(&root), before, "a refused first chunk leaves nothing");
    std::fs::remove_file(filler).unwrap();
    for number in 1..4 {
        crate::common::send(&store, &uid, &file, size, number).unwrap();
    }
    assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
}

/// Less is free than a chunk would reserve. The chunk is stored, and the rest stays free for others.
#[test]
fn reserving_does_not_eat_what_is_left() {
    if !crate::common::have(&["df"]) {
        return;
    }
    let Some(image) = crate::common::Image::make("ext4") else { return };
    let store =
        Store::open(image.mountpoint().join("uploads"), Options { min_free_space: 0, ..Options::default() }).unwrap();
    let (file, size) = (bytes(40 << 20), 1 << 20);
    let free = || {
        let answer = std::process::Command::new("df").args(["--output=avail", "-k"]).arg(image.mountpoint()).output();
        let text = String::from_utf8(answer.unwrap().stdout).unwrap();
        text.lines().last().unwrap().trim().parse::<u64>().unwrap()
    };
    // This chunk does not have the first byte of the file, so nothing is reserved yet.
    let uid = crate::common::send(&store, "", &file, size, 1).unwrap().upload_uid.to_string();
    let filler = std::fs::File::create(image.mountpoint().join("filler")).unwrap();
    std::io::Write::write_all(&mut &filler, &vec![1; (free() as usize - (10 << 10)) << 10]).unwrap();
    let before = free();
    assert!((5 << 10..15 << 10).contains(&before), "{before} KiB");
    crate::common::send(&store, &uid, &file, size, 0).unwrap();
    assert!(free() + (3 << 10) > before, "{before} KiB before, {} KiB after a chunk of 1 MiB", free());
}

/// An unlimited file system in memory reports that it has no blocks.
#[test]
fn an_unlimited_file_system_is_not_full() {
    let Some(memory) = Memory::mount("size=0") else { return };
    let store = Store::open(memory.path().join("uploads"), Options::default()).unwrap();
    let file = bytes(1000);
    let uid = crate::common::send(&store, "", &file, 500, 1).unwrap().upload_uid.to_string();
    crate::common::send(&store, &uid, &file, 500, 0).unwrap();
    assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
}

/// Directories get their mode whatever the umask, also for users without privileges.
#[test]
fn under_any_umask() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).ok();
    let file = bytes(1000);
    for umask in [0, 0o077, 0o400, 0o700, 0o777] {
        let status = crate::common::in_child(|| {
            // SAFETY: no pointers are passed. A process that is not root keeps its user.
            unsafe {
                libc::setuid(65534);
                libc::umask(umask);
            }
            let root = dir.path().join(umask.to_string());
            let store = Store::open(&root, Options::default()).unwrap();
            let uid = crate::common::send(&store, "", &file, 1000, 0).unwrap().upload_uid.to_string();
            let path = store.get(&uid).unwrap().path;
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(&root), mode(&root.join(&uid)), mode(&path)), (0o700, 0o700, 0o600));
        });
        assert!(status.success(), "umask {umask:o}");
    }
}

/// There is room for the upload, but not for the copy that puts its chunks in order.
#[test]
fn no_room_for_a_rewrite() {
    let Some(memory) = Memory::mount("size=3m") else { return };
    let root = memory.path().join("uploads");
    let store = Store::open(&root, Options { min_free_space: 0, ..Options::default() }).unwrap();
    let file = bytes(2 << 20);
    let (one, other) = file.split_at(700_000);
    let send = |uid: &str, number: u64, content| {
        let chunk = Chunk {
            upload_uid: uid,
            total_size: file.len() as u64,
            chunk_number: number,
            chunk_count: 3,
            content,
            ..Chunk::default()
        };
        store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
    };
    let (second, third) = other.split_at(1_300_000);
    let uid = send("", 1, second).unwrap();
    send(&uid, 0, one).unwrap();
    send(&uid, 2, third).unwrap();
    for _ in 0..2 {
        let error = store.get(&uid).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(entries(&root.join(&uid)), ["data", "state"], "nothing stays in the way");
    }
    memory.remount("size=8m");
    assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
}

#[test]
fn a_read_only_file_system() {
    let Some(memory) = Memory::mount("size=3m") else { return };
    let store = Store::open(memory.path(), Options { min_free_space: 0, ..Options::default() }).unwrap();
    let uid = crate::common::send(&store, "", &bytes(10), 4, 0).unwrap().upload_uid.to_string();
    memory.remount("ro");
    for uid in ["", &uid] {
        let error = crate::common::send(&store, uid, &bytes(10), 4, 1).unwrap_err();
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EROFS)), "{error}");
        assert!(error.path().is_some());
    }
    memory.remount("rw");
}

#[test]
fn a_root_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let at = |path: &str| Store::open(dir.path().join(path), Options::default()).unwrap();
    for (path, errno) in [("no/parent", libc::ENOENT), ("file", libc::ENOTDIR), ("file/below", libc::ENOTDIR)] {
        let error = at(path).handle_chunk(&good()).unwrap_err();
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(errno)), "{path}: {error}");
        assert_eq!(at(path).get(&"0".repeat(32)).unwrap_err().kind(), ErrorKind::NotFound, "{path}");
    }
    assert_eq!(entries(dir.path()), ["file"]);
    for path in ["", "a\0b"] {
        assert_eq!(Store::open(path, Options::default()).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_network_file_system_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    test_hooks::set_hook(Some(Rc::new(|step| match step {
        "space:nfs" => Err(std::io::Error::other("pretend")),
        _ => Ok(()),
    })));
    let error = Store::open(dir.path().join("not/there/yet"), Options::default()).unwrap_err();
    test_hooks::set_hook(None);
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EOPNOTSUPP)));
    assert!(error.to_string().contains("nfs"), "{error}");
    // Also later, when a refused file system is mounted over the store.
    let store = Store::open(dir.path().join("uploads"), Options::default()).unwrap();
    test_hooks::set_hook(Some(Rc::new(|step| match step {
        "space:nfs" => Err(std::io::Error::other("pretend")),
        _ => Ok(()),
    })));
    assert_eq!(store.handle_chunk(&good()).unwrap_err().os_errno(), Some(libc::EOPNOTSUPP));
    test_hooks::set_hook(None);
    assert!(!store.root().exists());
}

/// If every new directory vanishes, the error is `io` and names the store.
#[test]
fn a_place_that_keeps_nothing_is_named() {
    let store = TestStore::new();
    let root = store.root().to_owned();
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "create:directory" {
            entries(&root).iter().for_each(|name| drop(std::fs::remove_dir(root.join(name))));
        }
        Ok(())
    })));
    let key = Chunk { upload_key: b"a key of sixteen", ..good() };
    let errors = [&good(), &key].map(|chunk| store.handle_chunk(chunk).unwrap_err());
    test_hooks::set_hook(None);
    for error in errors {
        assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(store.root())), "{error}");
    }
}

#[test]
fn a_state_of_garbage_is_an_error_with_its_path() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(1000), 100);
    let state = store.path(&uid, "state");
    let whole = std::fs::read(&state).unwrap();
    let mut bad_phase = whole.clone();
    bad_phase[64] = 77;
    let mut bad_name = whole.clone();
    bad_name[512] ^= 1;
    let longer = [whole.as_slice(), &[0]].concat();
    let cases: [&[u8]; 6] = [
        b"garbage",
        &seeded_bytes(whole.len(), 3),
        &vec![0xff; whole.len()],
        &whole[..whole.len() - 1],
        &longer,
        &bad_phase,
    ];
    for garbage in cases {
        std::fs::write(&state, garbage).unwrap();
        for error in [store.get(&uid).unwrap_err(), store.send(&uid, &bytes(1000), 100, 1).unwrap_err()] {
            assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EBADMSG)), "{error}");
            assert_eq!(error.path(), Some(state.as_path()));
            assert!(!error.to_string().contains(&uid), "{error} shows the uid");
        }
        assert_eq!(std::fs::read(&state).unwrap(), garbage, "left as it is, for who wants to look");
    }
    // The remains that power loss leaves of a new upload are no upload.
    for nothing in [Vec::new(), vec![0; whole.len()], vec![0; 300]] {
        std::fs::write(&state, nothing).unwrap();
        assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.send(&uid, &bytes(1000), 100, 1).unwrap_err().kind(), ErrorKind::NotFound);
    }
    std::fs::write(&state, bad_name).unwrap();
    assert_eq!(store.get(&uid).unwrap_err().os_errno(), Some(libc::EBADMSG));
    std::fs::write(&state, whole).unwrap();
    assert_eq!(store.content(&uid), bytes(1000));
}

/// Garbage in the table, under a trusted tag: no wrong file is returned, whatever the garbage says.
#[test]
fn garbage_slots_never_make_a_wrong_file() {
    let file = bytes(1000);
    for seed in 0..200 {
        let store = TestStore::new();
        let uid = store.send_all(&file, 100);
        let state = store.path(&uid, "state");
        let mut bytes = std::fs::read(&state).unwrap();
        let slot = bytes.len() - 32 * (1 + seed as usize % 10);
        let noise = seeded_bytes(28, seed);
        let from = (seed as usize * 4) % 24;
        bytes[slot + from..slot + 28].copy_from_slice(&noise[from..]);
        std::fs::write(&state, &bytes).unwrap();
        if seed % 2 == 0 {
            test_hooks::set_trust_tag(Some(Some(4711)));
        }
        match store.get(&uid) {
            Ok(finished) => {
                // Only a wrong checksum cannot be noticed without reading trusted bytes.
                assert_eq!(std::fs::read(finished.path).unwrap(), file, "seed {seed}");
            }
            Err(error) => {
                let expected = [ErrorKind::Incomplete, ErrorKind::SizeMismatch];
                assert!(expected.contains(&error.kind()), "seed {seed}: {error}");
            }
        }
        test_hooks::set_trust_tag(None);
    }
}

/// Other things in the place of an upload's directory or files.
#[test]
fn symbolic_links_are_not_followed() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(1000), 100);
    let elsewhere = store.dir.path().join("elsewhere");
    std::fs::rename(store.root().join(&uid), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.root().join(&uid)).unwrap();
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::remove_file(store.root().join(&uid)).unwrap();
    std::fs::rename(&elsewhere, store.root().join(&uid)).unwrap();
    std::fs::rename(store.path(&uid, "data"), store.dir.path().join("data")).unwrap();
    std::os::unix::fs::symlink(store.dir.path().join("data"), store.path(&uid, "data")).unwrap();
    let error = store.send(&uid, &seeded_bytes(1000, 2), 100, 0).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::ELOOP)), "{error}");
    assert_eq!(std::fs::read(store.dir.path().join("data")).unwrap(), bytes(1000));
}

#[test]
fn a_state_of_another_version_is_refused_by_name_and_left_alone() {
    let store = TestStore::new();
    let uid = store.send_all(&bytes(1000), 100);
    let state = store.path(&uid, "state");
    let mut newer = std::fs::read(&state).unwrap();
    newer[8] = 9;
    std::fs::write(&state, &newer).unwrap();
    let error = store.get(&uid).unwrap_err();
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EPROTONOSUPPORT)), "{error}");
    assert!(error.to_string().contains("of another version"), "{error}");
    let cleaned = store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.failed_count), (0, 1));
    assert_eq!(std::fs::read(&state).unwrap(), newer);
}

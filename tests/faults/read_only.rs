//! A file system becomes read-only under a store. Calls that only read succeed, and all others name the reason.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use crate::common::{Image, Memory, bytes, cut, send};
use chunked_upload::{Chunk, Durability, ErrorKind, Expiry, Options, Phase, Result, Store, test_hooks};

const SIZE: usize = 100;

/// A call that has to write.
fn is_refused<T: std::fmt::Debug>(call: &str, result: Result<T>) {
    let error = result.expect_err(call);
    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EROFS)), "{call}: {error}");
}

fn keyed<'a>(content: &'a [u8]) -> Chunk<'a> {
    Chunk { upload_key: &[b'k'; 16], total_size: 350, chunk_count: 4, content, ..Chunk::default() }
}

/// Makes uploads. The file system becomes read-only, and then writable again. Checks the answer of each call.
fn through_a_remount(place: &Path, durability: Durability, remount: impl Fn(&str)) {
    let store = Store::open(
        place.join(format!("{durability:?}")),
        Options { durability, min_free_space: 0, ..Options::default() },
    )
    .unwrap();
    let file = bytes(350);
    let go_on = |uid: &str, numbers: std::ops::Range<u64>| {
        for number in numbers {
            send(&store, uid, &file, SIZE, number).unwrap();
        }
    };
    let upload = |count: u64| {
        let uid = send(&store, "", &file, SIZE, 0).unwrap().upload_uid.to_string();
        go_on(&uid, 1..count);
        uid
    };
    let (finished, whole, begun) = (upload(4), upload(4), upload(2));
    let path = store.get(&finished).unwrap().path;
    let uneven: Vec<_> = cut(&file, crate::common::CUTS[1]).into_iter().map(<[u8]>::to_vec).collect();
    let with_key = store.handle_chunk(&keyed(&uneven[0])).unwrap().upload_uid.to_string();

    remount("ro");
    let again = Store::open(store.root(), store.options().clone()).unwrap();
    for store in [&store, &again] {
        assert_eq!(store.get(&finished).unwrap().path, path);
        assert_eq!(std::fs::read(&path).unwrap(), file);
        let verified = store.verify(&finished).unwrap();
        assert_eq!((verified.phase, verified.checked_count, verified.damaged_count), (Phase::Complete, 4, 0));
        let phase = |uid: &str| store.inspect(uid, 0).unwrap().phase;
        assert_eq!(
            [&finished, &whole, &begun].map(|uid| phase(uid)),
            [Phase::Complete, Phase::Receiving, Phase::Receiving]
        );
        assert_eq!(store.inspect(&begun, 0).unwrap().missing.first(), Some(&(2..4)));
        assert_eq!(store.list().unwrap().filter(|listed| listed.is_ok()).count(), 4);
        assert_eq!(store.get(&begun).unwrap_err().kind(), ErrorKind::Incomplete);
        assert_eq!(store.uid_for_key(&[b'k'; 16]).unwrap().to_string(), with_key);

        is_refused("get", store.get(&whole));
        is_refused("first chunk", send(store, "", &file, SIZE, 0));
        is_refused("chunk", send(store, &begun, &file, SIZE, 3));
        is_refused("repeated chunk", send(store, &finished, &file, SIZE, 3));
        is_refused("chunk with a key", store.handle_chunk(&keyed(&uneven[0])));
        is_refused("verify", store.verify(&whole));
        is_refused("remove", store.remove(&begun));
        is_refused("move_to", store.move_to(&finished, place.join("moved"), false));
        let cleaned = store.cleanup(&Expiry::older_than(std::time::Duration::ZERO)).unwrap();
        assert_eq!((cleaned.removed.len(), cleaned.failed_count), (0, 4));
    }

    remount("rw");
    go_on(&begun, 2..4);
    for uid in [&finished, &whole, &begun] {
        assert_eq!(std::fs::read(store.get(uid).unwrap().path).unwrap(), file);
    }
    store.remove(&with_key).unwrap();
}

#[test]
fn a_store_in_memory_is_read_through_a_read_only_remount() {
    let Some(memory) = Memory::mount("size=8m") else { return };
    through_a_remount(memory.path(), Durability::Process, |options| memory.remount(options));
}

#[test]
fn a_store_on_ext4_is_read_through_a_read_only_remount() {
    let Some(image) = Image::make("ext4") else { return };
    for durability in [Durability::Process, Durability::Complete, Durability::Chunk] {
        through_a_remount(&image.mountpoint(), durability, |options| image.remount(options));
    }
}

/// On another mount, a synced file is returned without a write.
#[test]
fn a_synced_file_is_read_from_a_read_only_mount() {
    let Some(image) = Image::make("ext4") else { return };
    let options = Options { durability: Durability::Complete, min_free_space: 0, ..Options::default() };
    let store = Store::open(image.mountpoint().join("uploads"), options).unwrap();
    let file = bytes(80);
    let uid = send(&store, "", &file, SIZE, 0).unwrap().upload_uid.to_string();
    store.get(&uid).unwrap();
    assert!(image.unmount() && image.mount());
    image.remount("ro");
    assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
    assert_eq!(store.verify(&uid).unwrap().damaged_count, 0);
}

/// ext4 meets an error while a call has `state` open for writing, but not yet `data`.
#[test]
fn a_file_system_that_turns_read_only_during_a_call_is_named() {
    let Some(image) = Image::make("ext4") else { return };
    image.remount("errors=remount-ro");
    let options = Options { durability: Durability::Chunk, min_free_space: 0, ..Options::default() };
    let store = Store::open(image.mountpoint().join("uploads"), options).unwrap();
    let file = bytes(350);
    let uid = send(&store, "", &file, SIZE, 0).unwrap().upload_uid.to_string();
    let device = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(image.mountpoint()).output().unwrap().stdout;
    let device = String::from_utf8(device).unwrap();
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", device.trim().trim_start_matches("/dev/"));
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "receive:locked" { std::fs::write(&trigger, "a test") } else { Ok(()) }
    })));
    let refused = send(&store, &uid, &file, SIZE, 1);
    test_hooks::set_hook(None);
    is_refused("chunk", refused);
}

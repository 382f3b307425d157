//! Any bytes must give an error or a right answer, never a panic, a hang, or a wrong file.
//!
//! Each function takes one input of a fuzzer (`make fuzz`). `tests/protocol/hostile.rs` runs the functions over the
//! inputs in `tests/corpus`.

use std::time::{Duration, Instant};

use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Store};

use super::{CUTS, TestStore, bytes, cut, entries};

/// A `state` with these bytes in place of its own. The first byte selects the upload, and whether the others are the
/// whole file or changes to it. A change has three bytes: two for the place and one for the value.
pub fn state(input: &[u8]) {
    let Some((&kind, input)) = input.split_first() else { return };
    let store = TestStore::with(Options { min_free_space: 0, max_store_size: 1 << 20, ..Options::default() });
    let file = bytes(350);
    let pieces = cut(&file, CUTS[usize::from(kind & 1)]);
    let order: &[usize] = if kind & 2 == 0 { &[2, 0] } else { &[3, 1, 2, 0] };
    let uid = store.send_pieces(&pieces, order);
    if kind & 4 != 0 {
        let _ = store.get(&uid);
    }
    let path = store.path(&uid, "state");
    let mut state = std::fs::read(&path).unwrap();
    if kind & 8 == 0 {
        for change in input.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % state.len();
            state[at] = change[2];
        }
    } else {
        state = input.to_vec();
    }
    std::fs::write(&path, state).unwrap();

    let began = Instant::now();
    let right = |content: Vec<u8>| assert!(content == file, "a wrong file of {} bytes", content.len());
    let known = |error: Error| assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    let _ = store.inspect(&uid, 0).map_err(known);
    store.list().unwrap().filter_map(Result::err).for_each(known);
    let before = store.get(&uid).map(|finished| right(std::fs::read(finished.path).unwrap()));
    let _ = before.map_err(known);
    let _ = store.verify(&uid).map_err(known);
    for number in 0..4 {
        let _ = store.send_piece(&uid, &pieces, number).map_err(known);
    }
    if let Ok(finished) = store.get(&uid) {
        right(std::fs::read(finished.path).unwrap());
    }
    let destination = store.dir.path().join("moved");
    if store.move_to(&uid, &destination, false).map_err(known).is_ok() {
        right(std::fs::read(destination).unwrap());
    }
    // The upload may take at most twice the file and its table, however large the numbers are.
    let size: u64 = entries(&store.root().join(&uid))
        .iter()
        .map(|name| std::os::unix::fs::MetadataExt::blocks(&store.path(&uid, name).metadata().unwrap()) * 512)
        .sum();
    assert!(size < 1 << 20, "{size} bytes");
    store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Takes everything that a client sends besides content from one text. Line ends separate the parts.
pub fn request(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or("");
    let (uid, key, file_name, checksum, file_digest) = (next(), next(), next(), next(), next());
    let mut number = || next().parse().unwrap_or(1);
    let (total_size, chunk_number, chunk_count) = (number(), number(), number());
    let dir = tempfile::tempdir().unwrap();
    let limits = Options { max_total_size: 1 << 20, max_chunk_count: 1000, min_free_space: 0, ..Options::default() };
    let store = Store::open(dir.path().join("uploads"), limits).unwrap();
    let chunk = Chunk {
        upload_uid: uid,
        upload_key: key.as_bytes(),
        file_name,
        total_size,
        chunk_number,
        chunk_count,
        content: b"x",
        checksum,
        file_digest,
    };
    match store.handle_chunk(&chunk) {
        Ok(receipt) => {
            let found = store.inspect(receipt.upload_uid.as_str(), 0).unwrap();
            assert_eq!((found.file_name.as_str(), found.received_count), (file_name, 1));
        }
        Err(error) => {
            assert!(error.kind().code() < 40, "{error}");
            assert!(error.to_string().len() < 500, "cut");
            let left: Vec<_> = entries(store.root()).into_iter().filter(|name| name != "secret").collect();
            assert_eq!(left, [""; 0], "{error}");
        }
    }
    let _ = store.uid_for_key(key.as_bytes());
    assert!(store.get(uid).is_err());
    assert_eq!(entries(dir.path()).iter().filter(|name| *name != "uploads").count(), 0, "nothing beside the store");
}

const CRC32C: &str = "crc32c=:mnG7TA==:";
const SHA256: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

/// A right uid, key or checksum with these changes: only right ones are accepted. The first byte selects the text, and
/// whether the others are the whole text or changes to it. A change has three bytes: how, where and what.
pub fn texts(input: &[u8]) {
    let Some((&kind, input)) = input.split_first() else { return };
    let changed = |right: &str| {
        if kind & 8 != 0 {
            return input.to_vec();
        }
        let mut text = right.as_bytes().to_vec();
        for change in input.chunks_exact(3) {
            let at = usize::from(change[1]) % (text.len() + 1);
            match change[0] % 3 {
                0 if at < text.len() => text[at] = change[2],
                1 if at < text.len() => drop(text.remove(at)),
                _ => text.insert(at, change[2]),
            }
        }
        text
    };
    let store = TestStore::with(Options { min_free_space: 0, ..Options::default() });
    match kind & 3 {
        0 => changed_uid(&store, changed),
        1 => changed_key(&store, changed),
        which => {
            let right = [format!("{CRC32C},{SHA256}"), CRC32C.into(), SHA256.into(), format!("{SHA256}, {CRC32C}")];
            let base = &right[usize::from(kind >> 2 & 1 | kind >> 5 & 2)];
            let text = changed(base);
            changed_checksum(&store, &String::from_utf8_lossy(&text), base, which == 2);
        }
    }
}

fn changed_uid(store: &TestStore, changed: impl Fn(&str) -> Vec<u8>) {
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let right = store.send_pieces(&pieces, &[0]);
    let text = changed(&right);
    let text = String::from_utf8_lossy(&text);
    let found = |error: Option<Error>| match error.map(|error| error.kind()) {
        None | Some(ErrorKind::Incomplete) => assert_eq!(text, right, "found by another name"),
        other => assert_eq!((other, text == right), (Some(ErrorKind::NotFound), false)),
    };
    found(store.inspect(&text, 0).err());
    found(store.get(&text).err());
    found(store.verify(&text).err());
    found(store.move_to(&text, store.dir.path().join("moved"), false).err());
    // Without a uid another upload begins.
    if !text.is_empty() {
        found(store.send_piece(&text, &pieces, 1).err());
    }
    found(store.remove(&text).err());
    assert_eq!(store.inspect(&right, 0).is_ok(), text != right);
}

fn changed_key(store: &TestStore, changed: impl Fn(&str) -> Vec<u8>) {
    let right = "a key of at least sixteen bytes";
    let key = changed(right);
    let uid = store.uid_for_key(right.as_bytes()).unwrap();
    let chunk = Chunk { upload_key: &key, total_size: 1, chunk_count: 1, content: b"x", ..Chunk::default() };
    let received = store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid);
    match store.uid_for_key(&key) {
        Ok(other) => {
            assert_eq!(other == uid, key == right.as_bytes());
            assert_eq!(received.unwrap(), other);
        }
        Err(error) => {
            assert_eq!((error.kind(), (16..=256).contains(&key.len())), (ErrorKind::InvalidArgument, false));
            // A chunk may have no key.
            assert_eq!(received.is_ok(), key.is_empty());
        }
    }
}

/// Tries a changed checksum of a chunk, or of the whole file.
fn changed_checksum(store: &TestStore, text: &str, base: &str, of_chunk: bool) {
    let has_right = text.is_empty() || text.contains(CRC32C) || text.contains(SHA256);
    let (checksum, file_digest) = if of_chunk { (text, "") } else { ("", text) };
    let chunk = Chunk { total_size: 5, chunk_count: 1, content: b"hello", checksum, file_digest, ..Chunk::default() };
    let answer = store.handle_chunk(&chunk).and_then(|receipt| store.get(receipt.upload_uid.as_str()));
    match answer.map_err(|error| error.kind()) {
        Ok(finished) => {
            assert!(has_right, "a wrong checksum was accepted");
            assert_eq!(std::fs::read(finished.path).unwrap(), b"hello");
        }
        Err(kind) => {
            assert!(matches!(kind, ErrorKind::InvalidArgument | ErrorKind::ChecksumMismatch), "{kind:?}");
            assert!(text != base && !text.is_empty(), "a right checksum was refused");
        }
    }
}

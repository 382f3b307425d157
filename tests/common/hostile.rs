//! What any bytes may do to the engine: give an error, or a right answer. Never a panic, a hang, or a wrong file.
//!
//! Each function is one input of a fuzzer (`make fuzz`); `tests/hostile.rs` runs them over what is in `tests/corpus`.

use std::time::{Duration, Instant};

use chunked_upload::{Chunk, Error, ErrorKind, Expiry, Options, Store};

use super::{CUTS, TestStore, bytes, cut, entries};

/// A `state` with these bytes in place of its own. The first says of which upload, and whether the others are all of it
/// or changes to it: three each, two for the place and one for the value.
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
    // Twice the file and its table is all that may lie there, however large the numbers.
    let size: u64 = entries(&store.root().join(&uid))
        .iter()
        .map(|name| std::os::unix::fs::MetadataExt::blocks(&store.path(&uid, name).metadata().unwrap()) * 512)
        .sum();
    assert!(size < 1 << 20, "{size} bytes");
    store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Everything a client sends besides content, taken from one text: the parts are between line ends.
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

//! Power loss on real file systems: an image of ext4 or xfs is shut down under the store, so that nothing more reaches
//! the disk, and mounted again. Skipped, with a message, where images cannot be made or mounted.

use crate::common::{Image, bytes, seeded_bytes};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Options, Store};

/// Opens the store on an image, as after each boot.
fn store_on(image: &Image, durability: Durability) -> Store {
    let options = Options { durability, min_free_space: 0, ..Options::default() };
    Store::open(image.mountpoint().join("uploads"), options).unwrap()
}

/// Cuts the power, and switches it on again. False, with a message, if the file system stays mounted, because another
/// mount namespace that was made meanwhile keeps it.
#[must_use]
fn lose_power(image: &Image) -> bool {
    use std::os::fd::AsRawFd;
    /// EXT4_IOC_SHUTDOWN from Linux `include/uapi/linux/ext4.h`, which is XFS_IOC_GOINGDOWN, and the flag not to write
    /// the journal first.
    const SHUTDOWN: libc::Ioctl = 0x8004_587d;
    const NO_LOG_FLUSH: u32 = 2;
    let root = std::fs::File::open(image.mountpoint()).unwrap();
    // SAFETY: the call reads four bytes.
    assert_eq!(unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &NO_LOG_FLUSH) }, 0);
    drop(root);
    assert!(image.unmount() && image.mount());
    let alive = std::fs::write(image.mountpoint().join("alive"), "").is_ok();
    if !alive {
        crate::common::skip("another mount namespace holds the file system");
    }
    alive
}

const KINDS: [&str; 2] = ["ext4", "xfs"];

const CHUNK: usize = 64 << 10;

/// Equal chunks, and chunks that fit no grid.
fn cuts(file: &[u8]) -> [Vec<&[u8]>; 2] {
    let uneven =
        (0..8).map(|n| n * CHUNK + n % 2 * 1000..(n + 1) * CHUNK + if n == 7 { 0 } else { (n + 1) % 2 * 1000 });
    [file.chunks(CHUNK).collect(), uneven.map(|range| &file[range]).collect()]
}

fn send(store: &Store, uid: &str, pieces: &[&[u8]], number: usize, content: &[u8]) -> Result<String, Error> {
    let chunk = Chunk {
        upload_uid: uid,
        total_size: pieces.iter().map(|piece| piece.len() as u64).sum(),
        chunk_number: number as u64,
        chunk_count: pieces.len() as u64,
        content,
        ..Chunk::default()
    };
    store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
}

#[test]
fn at_level_chunk_what_was_acknowledged_is_there() {
    for kind in KINDS {
        at_level_chunk_what_was_acknowledged_is_there_on(kind);
    }
}

fn at_level_chunk_what_was_acknowledged_is_there_on(kind: &str) {
    let Some(image) = Image::make(kind) else { return };
    let file = bytes(8 * CHUNK);
    for pieces in cuts(&file) {
        let store = store_on(&image, Durability::Chunk);
        let mut uid = String::new();
        for number in [3, 0, 6, 1] {
            uid = send(&store, &uid, &pieces, number, pieces[number]).unwrap();
        }
        // One chunk is replaced, and replaced again.
        send(&store, &uid, &pieces, 0, &seeded_bytes(pieces[0].len(), 9)).unwrap();
        send(&store, &uid, &pieces, 0, pieces[0]).unwrap();
        if !lose_power(&image) {
            return;
        }
        let store = store_on(&image, Durability::Chunk);
        let error = store.get(&uid).unwrap_err();
        assert!(matches!(error, Error::Incomplete { missing_count: 4, first_missing: 2, .. }), "{error}");
        for number in [2, 4, 5, 7] {
            send(&store, &uid, &pieces, number, pieces[number]).unwrap();
        }
        if !lose_power(&image) {
            return;
        }
        assert_eq!(std::fs::read(store_on(&image, Durability::Chunk).get(&uid).unwrap().path).unwrap(), file);
    }
}

#[test]
fn at_level_complete_the_file_is_there_once_get_returned_it() {
    for kind in KINDS {
        at_level_complete_the_file_is_there_once_get_returned_it_on(kind);
    }
}

fn at_level_complete_the_file_is_there_once_get_returned_it_on(kind: &str) {
    let Some(image) = Image::make(kind) else { return };
    let file = bytes(8 * CHUNK);
    for pieces in cuts(&file) {
        let store = store_on(&image, Durability::Complete);
        let mut uid = String::new();
        for number in [3, 0, 6, 1, 2, 4, 5, 7] {
            uid = send(&store, &uid, &pieces, number, pieces[number]).unwrap();
        }
        let path = store.get(&uid).unwrap().path;
        if !lose_power(&image) {
            return;
        }
        assert_eq!(store_on(&image, Durability::Process).get(&uid).unwrap().path, path);
        assert_eq!(std::fs::read(path).unwrap(), file);
    }
}

/// The store synced nothing, but the system did at random moments. Chunks that it synced are there, others are missing,
/// and the file is right in the end.
#[test]
fn at_level_process_nothing_wrong_is_handed_out() {
    for kind in KINDS {
        at_level_process_nothing_wrong_is_handed_out_on(kind);
    }
}

fn at_level_process_nothing_wrong_is_handed_out_on(kind: &str) {
    let Some(image) = Image::make(kind) else { return };
    let file = bytes(8 * CHUNK);
    for (round, pieces) in (0..8).flat_map(|round| cuts(&file).map(|pieces| (round, pieces))) {
        let store = store_on(&image, Durability::Process);
        let mut uid = String::new();
        for number in [3, 0, 6, 1, 2, 4, 5, 7] {
            uid = send(&store, &uid, &pieces, number, pieces[number]).unwrap();
            if number == round {
                // SAFETY: no pointers are passed.
                unsafe { libc::sync() };
                send(&store, &uid, &pieces, 3, &seeded_bytes(pieces[3].len(), 9)).unwrap();
                send(&store, &uid, &pieces, 3, pieces[3]).unwrap();
            }
        }
        if round % 2 == 0 {
            store.get(&uid).unwrap();
        }
        if !lose_power(&image) {
            return;
        }
        let store = store_on(&image, Durability::Process);
        match store.get(&uid) {
            Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), file),
            Err(error) => assert!([ErrorKind::Incomplete, ErrorKind::NotFound].contains(&error.kind()), "{error}"),
        }
        for (number, piece) in pieces.iter().enumerate() {
            match send(&store, &uid, &pieces, number, piece) {
                Ok(_) => {}
                Err(Error::NotFound { .. }) => uid = String::new(),
                Err(error) => panic!("{error}"),
            }
            if uid.is_empty() {
                break;
            }
        }
        if !uid.is_empty() {
            assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
        }
    }
}

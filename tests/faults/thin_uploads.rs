//! The disk of `thin_disk`, under uploads that bring more: a key and a checksum of the whole file, chunks that have to
//! be copied into order, and overlayfs between the store and the disk.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

use crate::common::{Overlay, seeded_bytes};
use crate::thin_disk::{EVICTED, Evicted, FILE, STARVED, Sent, Starved, Thin};
use chunked_upload::{Chunk, Durability, Options, Result, Store};

const LEVELS: [Durability; 2] = [Durability::Complete, Durability::Chunk];
const KEY: &[u8] = b"a key that is long enough";

/// Chunks of these sizes follow each other again and again. Sent backwards, they have to be copied into order.
const UNEVEN: [usize; 3] = [200_000, 70_000, 131_072];

struct Keyed<'a> {
    store: &'a Store,
    pieces: Vec<&'a [u8]>,
    total_size: u64,
    digest: String,
}

impl<'a> Keyed<'a> {
    fn new(store: &'a Store, file: &'a [u8]) -> Keyed<'a> {
        let (mut rest, mut pieces) = (file, Vec::new());
        for size in UNEVEN.into_iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(file)));
        Keyed { store, pieces, total_size: file.len() as u64, digest }
    }

    /// Sends a chunk with the key and the checksum of the whole file, as a client does that knows no uid yet.
    fn send(&self, number: usize) -> Result<String> {
        let chunk = Chunk {
            file_name: "a.bin",
            total_size: self.total_size,
            chunk_count: self.pieces.len() as u64,
            chunk_number: number as u64,
            content: self.pieces[number],
            upload_key: KEY,
            file_digest: &self.digest,
            ..Chunk::default()
        };
        self.store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
    }
}

/// The write-back of chunks that have to be copied into order fails, or that of the copy.
#[test]
fn an_upload_with_a_key_and_a_digest_is_never_wrong() {
    for (level, starved) in LEVELS.into_iter().flat_map(|level| STARVED.map(|starved| (level, starved))) {
        for evicted in EVICTED {
            let case = (level, starved, evicted);
            let Some(thin) = Thin::new("ext4") else { return };
            let (store, file) = (thin.store(level), seeded_bytes(FILE, 7));
            let keyed = Keyed::new(&store, &file);
            let uid = keyed.send(keyed.pieces.len() - 1).unwrap();
            // For some of them the disk has room, for others and for the copy it has none.
            let half = keyed.pieces.len() / 2;
            (half..keyed.pieces.len()).rev().for_each(|number| drop(keyed.send(number).unwrap()));
            thin.starve(starved);
            (0..half).rev().for_each(|number| drop(keyed.send(number)));
            thin.write_back();
            let sent = Sent { case: format!("{case:?}"), file: &file, size: 0, uid };
            for _ in 0..3 {
                thin.evict(evicted);
                let _ = sent.get(&store);
            }
            let broken = thin.feed(false);
            for _ in 0..3 {
                (0..keyed.pieces.len()).for_each(|number| drop(keyed.send(number)));
                // If the file system had to be repaired, the key may lead to a new upload.
                let uid = keyed.send(0).unwrap_or_else(|error| panic!("{case:?}: {error}"));
                let sent = Sent { uid, case: sent.case.clone(), ..sent };
                if sent.get(&store).is_ok() {
                    break;
                }
            }
            let uid = keyed.send(0).unwrap();
            assert!(broken || uid == sent.uid, "{case:?}: another upload");
            let sent = Sent { uid, ..sent };
            sent.get(&store).unwrap_or_else(|error| panic!("{case:?}: not complete with room again: {error}"));
            assert!(thin.image.unmount() && thin.image.mount());
            sent.get(&store).unwrap_or_else(|error| panic!("{case:?}: after a remount: {error}"));
        }
    }
}

/// overlayfs keeps the store's files on the disk, and has inodes of its own.
#[test]
fn through_overlayfs_a_file_is_never_wrong() {
    for (level, evicted) in LEVELS.into_iter().flat_map(|level| EVICTED.map(|evicted| (level, evicted))) {
        let case = (level, evicted);
        let Some(thin) = Thin::new("ext4") else { return };
        let Some(overlay) = Overlay::on(&thin.image.mountpoint()) else { return };
        let options = Options { durability: level, min_free_space: 0, ..Options::default() };
        let (store, file) = (Store::open(overlay.path().join("uploads"), options).unwrap(), seeded_bytes(FILE, 8));
        let sent = Sent::begin(&store, &case, &file, 256 << 10);
        thin.starve_uploads(Starved::Data, &overlay.upper().join("uploads"));
        (1..sent.count()).for_each(|number| drop(sent.send(&store, number)));
        thin.write_back();
        for _ in 0..3 {
            thin.evict(evicted);
            let _ = sent.get(&store);
        }
        assert!(!thin.feed(false), "{case:?}: data alone does not break the file system");
        for _ in 0..4 {
            if sent.get(&store).is_ok() {
                break;
            }
            let missing = store.inspect(&sent.uid, 0).unwrap().missing;
            missing.into_iter().flatten().for_each(|number| drop(sent.send(&store, number)));
        }
        sent.get(&store).unwrap_or_else(|error| panic!("{case:?}: not complete with room again: {error}"));
        thin.evict(Evicted::Inodes);
        sent.get(&store).unwrap_or_else(|error| panic!("{case:?}: from the disk: {error}"));
    }
}

//! The checksum of the whole file that the first chunk declared.

use std::fs::File;

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use crate::api::error::{Error, Result};
use crate::local::files::read;
use crate::local::upload::locked::LockedUpload;
use crate::rules::format::layout::DATA;
use crate::rules::format::records::Hashing;

/// Compares the whole file with what was declared of it; opens `data` if it has to be read. All chunks are there, in any
/// order. False if a chunk that was read is not what was received: it is missing from here on.
///
/// How far it has come is kept on record, so that a check that is cut off goes on where it stopped, and one that was
/// done is not done again.
pub(crate) fn check_whole(upload: &LockedUpload<'_>, data: impl Fn() -> Result<File>, crc32c: u32) -> Result<bool> {
    let expected = &upload.header.expected;
    let differs = |name| {
        let uid = upload.uid.shown();
        Err(Error::ChecksumMismatch(format!("the file of upload {uid} does not have the {name} that was declared")))
    };
    if expected.crc32c.is_some_and(|expected| expected != crc32c) {
        return differs("crc32c");
    }
    let Some(expected) = expected.sha256 else { return Ok(true) };
    match hash(upload, &data()?)? {
        Some(hash) if hash != expected => differs("sha-256"),
        hash => Ok(hash.is_some()),
    }
}

/// The SHA-256 of all chunks in order. `None` if a chunk does not have its own checksum: then the hash would say that the
/// file is wrong, and not where. Pages that the kernel could not write back may be gone without a report.
fn hash(upload: &LockedUpload<'_>, data: &File) -> Result<Option<[u8; 32]>> {
    /// Progress is recorded after so many bytes: about as long as a system call takes, a thousand times.
    const WORTH_RECORDING: u64 = 4 << 20;
    let content = upload.content(&upload.records()?);
    let begun = upload.hashing()?.filter(|done| content.trusts(done.tag));
    let resumed = begun.and_then(|done| {
        let state = done.state.as_slice().try_into().ok()?;
        Some((Sha256::deserialize(&state).ok()?, done.number))
    });
    let (mut hash, first) = resumed.unwrap_or((Sha256::new(), 0));
    let (mut buffer, mut unrecorded, mut whole) = (Vec::new(), 0, true);
    upload.for_each_slot(first, |number, slot| {
        let read = read::checksum(data, slot.offset, slot.length, &mut buffer, |piece| {
            hash.update(piece);
            Ok(())
        });
        let failed = |error| upload.dir.error(&format!("cannot read chunk {number} in"), DATA, error);
        if read.map_err(failed)? != Some(slot.crc32c) {
            whole = false;
            upload.write_slot(number, &slot.cleared())?;
            upload.write_full(number)?;
            upload.reach("hash:cleared")?;
            return Ok(false);
        }
        unrecorded += slot.length;
        if unrecorded >= WORTH_RECORDING || number + 1 == upload.chunk_count() {
            let state = hash.serialize().as_slice().try_into().expect("the size of its state never changes");
            upload.write_hashing(&Hashing { number: number + 1, tag: upload.trust.tag(), state })?;
            upload.reach("hash:recorded")?;
            unrecorded = 0;
        }
        Ok(true)
    })?;
    Ok(whole.then(|| hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is on disk: should another version of the library have another, its progress must not be taken for this
    /// one's.
    #[test]
    fn the_state_of_the_hash_is_what_it_was() {
        let state = Sha256::new_with_prefix([b'a'; 70]).serialize();
        assert_eq!(state.len(), crate::rules::format::records::HASH_STATE_SIZE);
        assert_eq!((&state[32..40], &state[40..48]), (&[1, 0, 0, 0, 0, 0, 0, 0][..], &b"\x06aaaaaa\0"[..]));
    }
}

//! Compares the whole file with the checksums that the first chunk declared.

use std::fs::File;

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use crate::api::error::{Error, Result};
use crate::local::files::read;
use crate::local::upload::locked::LockedUpload;
use crate::rules::format::layout::DATA;
use crate::rules::format::records::Hashing;

/// Compares the whole file with its declared checksums. Opens `data` only if it must be read. All chunks are there, in
/// any order. False if a chunk that was read does not have its own checksum: it is missing from here on.
///
/// The progress is recorded. So an interrupted check continues where it stopped, and a finished one is not repeated.
pub(crate) fn check_whole(upload: &LockedUpload<'_>, data: impl Fn() -> Result<File>, crc32c: u32) -> Result<bool> {
    let expected = &upload.header.expected;
    let differs = |name| {
        let uid = upload.uid.shown();
        Err(Error::ChecksumMismatch(format!("the file of upload {uid} does not have the declared {name}")))
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

/// The SHA-256 of all chunks in order. `None` if a chunk does not have its own checksum: the hash would show that the
/// file is wrong, but not where. The kernel may have dropped pages that it could not write back.
fn hash(upload: &LockedUpload<'_>, data: &File) -> Result<Option<[u8; 32]>> {
    /// Progress is recorded each time after this many bytes. Hashing them takes about a thousand times as long as a
    /// system call.
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

    /// The hash's state is on disk. If another version of the library had another format, its progress must not be
    /// used.
    #[test]
    fn the_state_of_the_hash_is_what_it_was() {
        let state = Sha256::new_with_prefix([b'a'; 70]).serialize();
        assert_eq!(state.len(), crate::rules::format::records::HASH_STATE_SIZE);
        assert_eq!((&state[32..40], &state[40..48]), (&[1, 0, 0, 0, 0, 0, 0, 0][..], &b"\x06aaaaaa\0"[..]));
    }
}

//! A chunk as it arrives, and the answers of `handle_chunk` and `get`.

use std::fmt;
use std::path::PathBuf;

use crate::api::error::{Error, Result, quote};
use crate::api::uid::Uid;

/// The largest number the protocol knows: file offsets are signed 64-bit integers.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// The longest `file_name`, in bytes.
pub const MAX_FILE_NAME: usize = 4096;

/// The longest `upload_key`, in bytes.
pub const MAX_UPLOAD_KEY: usize = 256;

/// The shortest `upload_key` without an owner, in bytes. Another client could guess a shorter key, and with it get the
/// uid.
pub const MIN_BARE_UPLOAD_KEY: usize = 16;

/// The longest owner, in bytes.
pub const MAX_OWNER: usize = 1024;

/// One chunk of a file.
#[derive(Clone, Copy, Default)]
pub struct Chunk<'a> {
    /// Empty on the first chunk of an upload; on later chunks the uid from its [`Receipt`].
    pub upload_uid: &'a str,
    /// The client's name for the file: kept as metadata, never used in a path. The first chunk's name is kept; later
    /// chunks may leave it empty. At most [`MAX_FILE_NAME`] bytes, no NUL.
    pub file_name: &'a str,
    /// The size of the whole file, in bytes. Each chunk of an upload declares the same size.
    pub total_size: u64,
    /// The number of this chunk, from 0.
    pub chunk_number: u64,
    /// The number of chunks. Each chunk of an upload declares the same number.
    pub chunk_count: u64,
    /// The chunk's bytes; may be empty.
    pub content: &'a [u8],
    /// The client's own name for the upload, in place of a uid; empty for none. First chunks with the same key join one
    /// upload, even if they are sent again or at the same moment. Its uid is derived from the key
    /// ([`Store::uid_for_key`]). Ignored if there is an `upload_uid`. 1 to [`MAX_UPLOAD_KEY`] bytes. A key under
    /// [`MIN_BARE_UPLOAD_KEY`] bytes can be guessed, and is allowed only with an owner.
    ///
    /// [`Store::uid_for_key`]: crate::Store::uid_for_key
    pub upload_key: &'a [u8],
    /// Checksums of `content`, written as in the header field `Content-Digest` (RFC 9530 §2), such as
    /// `sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:`; empty for none. `crc32c` and `sha-256` are compared.
    /// Other algorithms are ignored if one of these two is present; a value with only unknown algorithms is refused.
    pub checksum: &'a str,
    /// Checksums of the whole file, written in the same way, as in the header field `Repr-Digest`; empty for none. They
    /// are compared when the upload is completed. The first chunk's value is kept; later chunks may leave it out, or
    /// repeat it.
    pub file_digest: &'a str,
}

/// The answer to an accepted chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The upload to which this chunk belongs.
    pub upload_uid: Uid,
    /// Whether all chunks are there, as far as this call can tell. A hint: [`Store::get`](crate::Store::get) decides.
    pub received_all: bool,
}

/// A finished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// The upload's uid.
    pub uid: Uid,
    /// Where the file lies: an absolute path on the store's file system. The owner may read, rename or remove it.
    pub path: PathBuf,
    /// The name that the first chunk gave, unchanged.
    pub file_name: String,
    /// The size of the file, in bytes.
    pub total_size: u64,
    /// CRC-32C (RFC 3720 appendix B.4) of the whole file, from the checksums taken as the chunks arrived.
    pub crc32c: u32,
}

impl Chunk<'_> {
    /// Refuses a chunk that contradicts itself. No file is touched.
    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::InvalidArgument(text));
        let (number, count, total) = (self.chunk_number, self.chunk_count, self.total_size);
        let size = self.content.len() as u64;
        if count == 0 {
            return refuse("chunk_count is 0".into());
        }
        if count > MAX_NUMBER || total > MAX_NUMBER {
            return refuse(format!("chunk_count {count} or total_size {total} is above 2^63 - 1"));
        }
        if number >= count {
            return refuse(format!("chunk_number {number} is not below chunk_count {count}"));
        }
        if size > total {
            return refuse(format!("chunk {number} has {size} bytes, but total_size is {total}"));
        }
        if count == 1 && size != total {
            return refuse(format!("the only chunk has {size} bytes, but total_size is {total}"));
        }
        if self.file_name.len() > MAX_FILE_NAME {
            return refuse(format!("file_name has {} bytes, the limit is {MAX_FILE_NAME}", self.file_name.len()));
        }
        if self.upload_key.len() > MAX_UPLOAD_KEY {
            return refuse(format!("upload_key has {} bytes, the limit is {MAX_UPLOAD_KEY}", self.upload_key.len()));
        }
        if self.file_name.contains('\0') {
            return refuse(format!("file_name {} contains NUL", quote(self.file_name)));
        }
        Ok(())
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("upload_uid", &self.upload_uid.get(..8).unwrap_or(""))
            .field("file_name", &quote(self.file_name))
            .field("total_size", &self.total_size)
            .field("chunk_number", &self.chunk_number)
            .field("chunk_count", &self.chunk_count)
            .field("content_size", &self.content.len())
            .field("upload_key_size", &self.upload_key.len())
            .field("checksum", &quote(self.checksum))
            .field("file_digest", &quote(self.file_digest))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ErrorKind;

    fn refused(chunk: Chunk<'_>) -> bool {
        chunk.validate().is_err_and(|e| e.kind() == ErrorKind::InvalidArgument)
    }

    #[test]
    fn requests_that_contradict_themselves_are_refused() {
        let good = Chunk { total_size: 10, chunk_count: 3, content: b"1234", ..Chunk::default() };
        assert!(good.validate().is_ok());
        assert!(refused(Chunk { chunk_count: 0, ..good }));
        assert!(refused(Chunk { chunk_number: 3, ..good }));
        assert!(refused(Chunk { chunk_number: u64::MAX, ..good }));
        assert!(refused(Chunk { chunk_count: MAX_NUMBER + 1, ..good }));
        assert!(refused(Chunk { total_size: MAX_NUMBER + 1, ..good }));
        assert!(refused(Chunk { total_size: 3, ..good }));
        assert!(refused(Chunk { chunk_count: 1, ..good }));
        assert!(refused(Chunk { file_name: "a\0", ..good }));
        assert!(refused(Chunk { file_name: &"x".repeat(MAX_FILE_NAME + 1), ..good }));
    }

    #[test]
    fn empty_files_and_the_largest_numbers_are_legal() {
        assert!(Chunk { chunk_count: 1, ..Chunk::default() }.validate().is_ok());
        let largest =
            Chunk { total_size: MAX_NUMBER, chunk_number: MAX_NUMBER - 1, chunk_count: MAX_NUMBER, ..Chunk::default() };
        assert!(largest.validate().is_ok());
    }
}

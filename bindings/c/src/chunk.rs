//! `upload_chunk`, `upload_receipt`, and the call between them.

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};

use engine::{Chunk, MAX_NUMBER, Receipt, Uid};

use crate::error::upload_error;
use crate::failure::{Result, invalid};
use crate::handle::Out;
use crate::result::upload_result;
use crate::store::upload_store;
use crate::versioned::Versioned;
use crate::{args, boundary, versioned};

/// Room for a uid with its NUL, in this and all later versions: a uid is always shorter than this.
/// How long exactly, and of which characters, may change.
pub const UPLOAD_UID_SIZE: usize = 64;

/// One chunk of a file, as it came from the client. Start with UPLOAD_CHUNK_INIT and set the members:
/// zero always means that something is absent. The library reads the struct and what it points to
/// during the call only and changes nothing.
///
/// Later versions append members. struct_size tells the library how many of them the program knows. An
/// older library accepts a larger struct if the part it does not know is zero, and otherwise answers
/// UPLOAD_INVALID_ARGUMENT, so that nothing asked for is ever silently ignored.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct upload_chunk {
    /// sizeof(upload_chunk), which UPLOAD_CHUNK_INIT sets.
    pub struct_size: usize,
    /// NULL or "" starts an upload. For further chunks, what the first one's receipt says.
    pub upload_uid: *const c_char,
    /// The client's name for the file, UTF-8, at most 4096 bytes; kept word for word, and never used
    /// in a path. That of the first chunk stands. May be NULL.
    pub file_name: *const c_char,
    /// Bytes of the whole file; the same in every chunk of an upload. At most 2^63 - 1.
    pub total_size: u64,
    /// Which chunk this is, counted from 0.
    pub chunk_number: u64,
    /// How many chunks there are, at least 1, at most 2^63 - 1; the same in every chunk of an upload.
    pub chunk_count: u64,
    /// The bytes of this chunk. May be NULL if content_size is 0.
    pub content: *const c_void,
    /// How many bytes that are. Best all equal but for the last chunk; any other sizes are accepted, if
    /// they can add up: at most total_size, and just that if there is one chunk only.
    pub content_size: usize,
    /// A name for the upload that the client made, any bytes, in place of a uid; of no effect when there
    /// is an upload_uid. Chunks with the same key join one upload, whichever comes first and however often
    /// it is sent, and the receipt tells its uid. At most 256 bytes, with an upload_uid too; without an
    /// owner of the store at least 16 unguessable bytes. NULL for none. Since 0.2.
    pub upload_key: *const c_void,
    /// How many bytes that are; 0 for none.
    pub upload_key_size: usize,
    /// Checksums of the content, written as in the header field Content-Digest (RFC 9530): "crc32c=:...:"
    /// or "sha-256=:...:", base64 between the colons, or both with a comma. Unknown algorithms are ignored if a
    /// known one is present. A value with only unknown ones is UPLOAD_INVALID_ARGUMENT: decide before the call
    /// what to do with such a request. If the content has another checksum, the chunk is
    /// UPLOAD_CHECKSUM_MISMATCH and nothing is stored. NULL or "" for none. Since 0.2.
    pub checksum: *const c_char,
    /// A checksum of the whole file, in the same way, as in Repr-Digest. Compared when the upload is
    /// finished: if the file has another, upload_get is UPLOAD_CHECKSUM_MISMATCH, the upload stays open, and
    /// chunks that are sent again can repair it. That of the first chunk stands; later ones may leave
    /// it out or repeat it, and with another, or one where the first had none, they are UPLOAD_CONFLICT.
    /// NULL or "" for none. Since 0.2.
    pub file_digest: *const c_char,
}

/// The answer to an accepted chunk. Start with UPLOAD_RECEIPT_INIT. Written on success only, so one
/// receipt can be passed to all chunks of an upload, and upload_chunk.upload_uid may point into it.
///
/// Later versions append members. The library writes those that both it and, by struct_size, the program
/// know; the rest and struct_size it leaves alone.
#[repr(C)]
pub struct upload_receipt {
    /// sizeof(upload_receipt), which UPLOAD_RECEIPT_INIT sets.
    pub struct_size: usize,
    /// The uid of the upload, NUL-terminated. It is a secret between this program and the client.
    pub upload_uid: [c_char; UPLOAD_UID_SIZE],
    /// 1 if all chunks are there, as far as this call can tell, otherwise 0. A hint, for clients that
    /// send no signal of their own when they are done: upload_get decides.
    pub received_all: i32,
}

// Sizes and offsets never change but at the end; a new member goes there, and gets a line here.
const _: () = {
    assert!(size_of::<upload_chunk>() == 96);
    assert!(offset_of!(upload_chunk, struct_size) == 0);
    assert!(offset_of!(upload_chunk, upload_uid) == 8);
    assert!(offset_of!(upload_chunk, file_name) == 16);
    assert!(offset_of!(upload_chunk, total_size) == 24);
    assert!(offset_of!(upload_chunk, chunk_number) == 32);
    assert!(offset_of!(upload_chunk, chunk_count) == 40);
    assert!(offset_of!(upload_chunk, content) == 48);
    assert!(offset_of!(upload_chunk, content_size) == 56);
    assert!(offset_of!(upload_chunk, upload_key) == 64);
    assert!(offset_of!(upload_chunk, upload_key_size) == 72);
    assert!(offset_of!(upload_chunk, checksum) == 80);
    assert!(offset_of!(upload_chunk, file_digest) == 88);
    assert!(size_of::<upload_receipt>() == 80);
    assert!(offset_of!(upload_receipt, struct_size) == 0);
    assert!(offset_of!(upload_receipt, upload_uid) == 8);
    assert!(offset_of!(upload_receipt, received_all) == 72);
};

// SAFETY: numbers and pointers.
unsafe impl Versioned for upload_chunk {}

/// The smallest `struct_size` of each: that of the first release.
const CHUNK_MIN: usize = 64;
const RECEIPT_MIN: usize = 80;

/// Receives one chunk. When it returns UPLOAD_OK, the chunk is kept, as safely as the store's durability
/// says, and the receipt tells which upload it belongs to.
///
/// Chunks may come in any order, several at once, from any thread, process or connection, and more than
/// once: the same bytes again change nothing. Other bytes for a chunk replace it, as long as the upload is
/// not finished. A first chunk that is refused leaves no upload.
///
/// A body that was cut short replaces a good chunk, too: the library cannot tell it from a smaller chunk. Compare
/// the number of bytes that arrived with Content-Length before the call, or pass a checksum.
///
/// Fails with any result but UPLOAD_INCOMPLETE and UPLOAD_SIZE_MISMATCH; UPLOAD_INVALID_ARGUMENT also if
/// store, chunk or receipt is NULL or a struct_size is smaller than in the first release of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_handle_chunk(
    store: *const upload_store,
    chunk: *const upload_chunk,
    receipt: *mut upload_receipt,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let error = unsafe { Out::cleared(error) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        // SAFETY: NULL or `struct_size` bytes that start with it, by the header's contract.
        let chunk = unsafe { versioned::known_part("chunk", chunk, CHUNK_MIN) }?;
        // SAFETY: as for the chunk, and writable.
        let receipt = unsafe { ReceiptOut::new(receipt) }?;
        // SAFETY: NULL or a C string, by the header's contract. It may lie in the receipt, which is written after its
        // last use.
        let uid = unsafe { args::uid(chunk.upload_uid) };
        // The engine's message names two members.
        if chunk.total_size > MAX_NUMBER {
            return Err(invalid("total_size", format!("total_size {} is above 2^63 - 1", chunk.total_size)));
        }
        let chunk = Chunk {
            upload_uid: &uid,
            // SAFETY: NULL or a C string, by the header's contract.
            file_name: unsafe { args::text("file_name", chunk.file_name) }?,
            total_size: chunk.total_size,
            chunk_number: chunk.chunk_number,
            chunk_count: chunk.chunk_count,
            // SAFETY: `content_size` readable bytes, by the header's contract.
            content: unsafe { args::bytes("content", chunk.content, chunk.content_size) }?,
            // SAFETY: `upload_key_size` readable bytes, by the header's contract.
            upload_key: unsafe { args::bytes("upload_key", chunk.upload_key, chunk.upload_key_size) }?,
            // SAFETY: NULL or C strings, by the header's contract.
            checksum: unsafe { args::text("checksum", chunk.checksum) }?,
            // SAFETY: as above.
            file_digest: unsafe { args::text("file_digest", chunk.file_digest) }?,
        };
        receipt.write(&store.handle_chunk(&chunk)?);
        Ok(())
    })
}

/// A uid as C has it: NUL-terminated in a fixed room.
pub(crate) fn uid_text(uid: &Uid) -> [u8; UPLOAD_UID_SIZE] {
    let mut text = [0; UPLOAD_UID_SIZE];
    // One byte stays: the NUL.
    text[..UPLOAD_UID_SIZE - 1][..uid.as_str().len()].copy_from_slice(uid.as_str().as_bytes());
    text
}

/// Where the receipt goes.
struct ReceiptOut(*mut upload_receipt);

impl ReceiptOut {
    /// # Safety
    /// `receipt` is NULL or points to a `struct_size` and as many writable bytes as that says, until the last use.
    unsafe fn new(receipt: *mut upload_receipt) -> Result<ReceiptOut> {
        // SAFETY: by this function's contract.
        unsafe { versioned::check_size("receipt", receipt, RECEIPT_MIN) }?;
        Ok(ReceiptOut(receipt))
    }

    /// Fills the members. All of them are in every `struct_size` that `new` lets pass.
    fn write(self, answer: &Receipt) {
        let text = uid_text(&answer.upload_uid);
        // SAFETY: by the contract of `new`; no reference to the receipt's memory is alive.
        unsafe {
            (&raw mut (*self.0).upload_uid).cast::<[u8; UPLOAD_UID_SIZE]>().write_unaligned(text);
            (&raw mut (*self.0).received_all).write_unaligned(answer.received_all.into());
        }
    }
}

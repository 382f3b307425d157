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

/// The size of a buffer for a uid with its NUL, in this and all later versions. A uid is always shorter. Its
/// exact length and its characters may change.
pub const UPLOAD_UID_SIZE: usize = 64;

/// One chunk of a file, as it came from the client. Start with UPLOAD_CHUNK_INIT and set the members. Zero
/// always means that a value is absent. The library reads the struct and the data it points to only during the
/// call, and changes nothing.
///
/// Later versions append members. struct_size tells the library which members the program knows. An older
/// library accepts a larger struct if the part it does not know is zero. Otherwise it returns
/// UPLOAD_INVALID_ARGUMENT, so that it never silently ignores a request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct upload_chunk {
    /// sizeof(upload_chunk), which UPLOAD_CHUNK_INIT sets.
    pub struct_size: usize,
    /// NULL or "" starts an upload. Further chunks need the uid from the first receipt.
    pub upload_uid: *const c_char,
    /// The client's name for the file: UTF-8, at most 4096 bytes. The library keeps the name of the first chunk
    /// unchanged and never uses it in a path. May be NULL.
    pub file_name: *const c_char,
    /// The size of the whole file in bytes, at most 2^63 - 1. It is the same in every chunk of an upload.
    pub total_size: u64,
    /// The number of this chunk, counted from 0.
    pub chunk_number: u64,
    /// The number of chunks, 1 to 2^63 - 1. It is the same in every chunk of an upload.
    pub chunk_count: u64,
    /// The bytes of this chunk. May be NULL if content_size is 0.
    pub content: *const c_void,
    /// The number of bytes in content. Make all chunks the same size except the last. Other sizes are accepted
    /// if they can add up: no chunk may have more than total_size bytes, and an only chunk must have total_size
    /// bytes.
    pub content_size: usize,
    /// A name for the upload that the client made, as any bytes. It replaces the uid, and is ignored if there
    /// is an upload_uid. Chunks with the same key join one upload, in any order and however often they are
    /// sent. The receipt gives the uid of that upload. A key has at most 256 bytes, even if it is ignored.
    /// Without an owner, a key needs at least 16 unguessable bytes. NULL for none. Since 0.2.
    pub upload_key: *const c_void,
    /// The number of bytes in upload_key; 0 for none.
    pub upload_key_size: usize,
    /// Checksums of the content, written as in the header field Content-Digest (RFC 9530): "crc32c=:...:",
    /// "sha-256=:...:", or both with a comma between them. The value between the colons is base64. A crc32c has
    /// four bytes, the highest first. Unknown algorithms are ignored if a known one is present. A value with
    /// only unknown ones is UPLOAD_INVALID_ARGUMENT: decide before the call how to answer such a request. If
    /// the content does not match, the chunk is UPLOAD_CHECKSUM_MISMATCH and nothing is stored. NULL or "" for
    /// none. Since 0.2.
    pub checksum: *const c_char,
    /// Checksums of the whole file, written as for checksum, as in the header field Repr-Digest. They are
    /// compared when the upload is finished. If the file does not match, upload_get is
    /// UPLOAD_CHECKSUM_MISMATCH. The upload then stays open, and chunks that are sent again can repair it. The
    /// value of the first chunk counts. Later chunks repeat it or leave it out. A later chunk with another
    /// value, or with a value that the first chunk did not have, is UPLOAD_CONFLICT. NULL or "" for none. Since
    /// 0.2.
    pub file_digest: *const c_char,
}

/// The answer to an accepted chunk. Start with UPLOAD_RECEIPT_INIT. It is written on success only. So one
/// receipt can serve all chunks of an upload, and upload_chunk.upload_uid may point into it.
///
/// Later versions append members. The library writes the members that it knows and that struct_size covers. It
/// does not change the other bytes or struct_size.
#[repr(C)]
pub struct upload_receipt {
    /// sizeof(upload_receipt), which UPLOAD_RECEIPT_INIT sets.
    pub struct_size: usize,
    /// The uid of the upload, NUL-terminated. Only this program and the client should know it.
    pub upload_uid: [c_char; UPLOAD_UID_SIZE],
    /// 1 if this call found that all chunks are there, otherwise 0. This is a hint for clients that do not
    /// signal the end of their upload. upload_get decides.
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

/// Receives one chunk. After UPLOAD_OK the chunk is kept, with the durability of the store, and the receipt
/// gives the uid of its upload.
///
/// Chunks may come in any order, several at once, from any thread, process or connection, and more than once.
/// The same bytes again change nothing. Other bytes replace the chunk, until the upload is finished. A refused
/// first chunk leaves no upload.
///
/// A body that was cut short also replaces a good chunk: the library cannot distinguish it from a smaller
/// chunk. Before the call, compare the number of received bytes with Content-Length, or pass a checksum.
///
/// Fails with any result except UPLOAD_INCOMPLETE and UPLOAD_SIZE_MISMATCH. UPLOAD_INVALID_ARGUMENT also means
/// that store, chunk or receipt is NULL, or that a struct_size is wrong: smaller than in the first release,
/// within a member, or above 4096 for the chunk.
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

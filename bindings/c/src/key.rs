//! The uid of an upload that a client named itself.

use std::ffi::{c_char, c_void};

use crate::chunk::{UPLOAD_UID_SIZE, uid_text};
use crate::error::upload_error;
use crate::failure::invalid;
use crate::handle::Out;
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// Writes the uid that belongs to upload_key in this store into uid, NUL-terminated. uid needs room for
/// UPLOAD_UID_SIZE bytes. The call makes no upload, and does not check whether the upload exists. The first use
/// of a key makes the directory of the store and its secret if they are missing.
///
/// Fails with UPLOAD_INVALID_ARGUMENT if store, upload_key or uid is NULL, or upload_key_size is not 1 to 256.
/// Without an owner the smallest size is 16. Fails with UPLOAD_IO or UPLOAD_NO_SPACE if the secret cannot be
/// read or made. uid is written on success only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_uid_for_key(
    store: *const upload_store,
    upload_key: *const c_void,
    upload_key_size: usize,
    uid: *mut c_char,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let error = unsafe { Out::cleared(error) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        if uid.is_null() {
            return Err(invalid("uid", "uid is NULL"));
        }
        // SAFETY: so many readable bytes, by the header's contract.
        let key = unsafe { args::bytes("upload_key", upload_key, upload_key_size) }?;
        let text = uid_text(&store.uid_for_key(key)?);
        // SAFETY: room for UPLOAD_UID_SIZE bytes, by the header's contract.
        unsafe { uid.cast::<[u8; UPLOAD_UID_SIZE]>().write_unaligned(text) };
        Ok(())
    })
}

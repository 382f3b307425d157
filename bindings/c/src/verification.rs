//! `upload_verification`: whether the stored bytes are what was received.

use std::ffi::c_char;

use engine::Verification;

use crate::error::upload_error;
use crate::handle::{self, Handle, Out, ask};
use crate::inspection::{phase_number, range_at};
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// The result of upload_verify. Threads may share it, and it may outlive the store. The functions below return
/// 0 if verification is NULL.
pub struct upload_verification {
    _private: [u8; 0],
}

impl Handle for upload_verification {
    type Value = Verification;
}

// The header promises it.
const _: () = handle::shareable::<Verification>();

/// Reads the stored bytes of an upload, compares them with the checksums from their arrival, and sets
/// *verification. Free it with upload_verification_free.
///
/// Damaged chunks of an unfinished upload become missing, so that they can be sent again. Other chunks can
/// arrive during the call. For a finished file the call changes nothing. It takes time in proportion to the
/// bytes.
///
/// UPLOAD_OK means that the bytes were read; upload_verification_damaged_count tells whether they are damaged.
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_GONE or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store, uid or
/// verification is NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_verify(
    store: *const upload_store,
    uid: *const c_char,
    verification: *mut *mut upload_verification,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (verification, error) = unsafe { (Out::cleared(verification), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        args::wanted("verification", &verification)?;
        // SAFETY: NULL or a C string, by the header's contract.
        let uid = unsafe { args::required_uid(uid) }?;
        verification.give(store.verify(&uid)?);
        Ok(())
    })
}

/// The phase of the upload: UPLOAD_PHASE_RECEIVING (damaged chunks are missing now) or UPLOAD_PHASE_COMPLETE
/// (nothing was changed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_phase(verification: *const upload_verification) -> i32 {
    ask(verification, 0, |verified| phase_number(verified.phase))
}

/// The number of chunks that were read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_checked_count(verification: *const upload_verification) -> u64 {
    ask(verification, 0, |verified| verified.checked_count)
}

/// The number of chunks that differ from the received bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_damaged_count(verification: *const upload_verification) -> u64 {
    ask(verification, 0, |verified| verified.damaged_count)
}

/// The number of ranges of damaged chunks, at most 1000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_damaged_ranges(verification: *const upload_verification) -> usize {
    ask(verification, 0, |verified| verified.damaged.len())
}

/// The first chunk number of a range. index counts from 0. Returns 0 if index is beyond the last range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_range_first(
    verification: *const upload_verification,
    index: usize,
) -> u64 {
    ask(verification, 0, |verified| range_at(&verified.damaged, index).0)
}

/// The number of chunks in a range. index counts from 0. Returns 0 if index is beyond the last range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_range_count(
    verification: *const upload_verification,
    index: usize,
) -> u64 {
    ask(verification, 0, |verified| range_at(&verified.damaged, index).1)
}

/// Frees the handle. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_free(verification: *mut upload_verification) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(verification) };
}

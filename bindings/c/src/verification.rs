//! `upload_verification`: whether the stored bytes are what was received.

use std::ffi::c_char;

use engine::Verification;

use crate::error::upload_error;
use crate::handle::{self, Handle, Out, ask};
use crate::inspection::{phase_number, range_at};
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// What reading the stored bytes again has shown. It may be shared between threads and may outlive the
/// store. The functions below answer 0 when they are asked about NULL.
pub struct upload_verification {
    _private: [u8; 0],
}

impl Handle for upload_verification {
    type Value = Verification;
}

// The header promises it.
const _: () = handle::shareable::<Verification>();

/// Reads what is stored of an upload, compares it with the checksums that were taken when it arrived, and
/// sets *verification, to be freed with upload_verification_free.
///
/// Damaged chunks of an unfinished upload are missing from then on, so that they can be sent again;
/// other chunks go on coming in meanwhile. On a finished file it only reports. Takes time in proportion to
/// the bytes.
///
/// UPLOAD_OK means that it was read, whatever was found: see upload_verification_damaged_count. Fails with
/// UPLOAD_NOT_FOUND, UPLOAD_GONE, UPLOAD_IO or, if one of store, uid and verification is NULL,
/// UPLOAD_INVALID_ARGUMENT.
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

/// What the upload is: UPLOAD_PHASE_RECEIVING (damaged chunks are missing now) or UPLOAD_PHASE_COMPLETE
/// (nothing was changed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_phase(verification: *const upload_verification) -> i32 {
    ask(verification, 0, |verified| phase_number(verified.phase))
}

/// How many chunks were read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_checked_count(verification: *const upload_verification) -> u64 {
    ask(verification, 0, |verified| verified.checked_count)
}

/// How many of them are not what was received.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_damaged_count(verification: *const upload_verification) -> u64 {
    ask(verification, 0, |verified| verified.damaged_count)
}

/// How many ranges of damaged chunks are known; at most 1000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_damaged_ranges(verification: *const upload_verification) -> usize {
    ask(verification, 0, |verified| verified.damaged.len())
}

/// The first chunk number of a range; index counts from 0, and beyond the last range the answer is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_verification_range_first(
    verification: *const upload_verification,
    index: usize,
) -> u64 {
    ask(verification, 0, |verified| range_at(&verified.damaged, index).0)
}

/// How many chunks a range has; index counts from 0, and beyond the last range the answer is 0.
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

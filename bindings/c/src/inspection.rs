//! `upload_inspection`: what is known of an upload; and what uploads can be.

use std::ffi::{CString, c_char};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Inspection, Phase};

use crate::error::upload_error;
use crate::failure::Result;
use crate::finished::c_text;
use crate::handle::{self, Handle, Out, ask};
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// A phase of an upload: it is not finished. Chunks may be missing, or all chunks are there and upload_get was
/// not called yet.
pub const UPLOAD_PHASE_RECEIVING: i32 = 1;
/// A phase of an upload: the finished file is there.
pub const UPLOAD_PHASE_COMPLETE: i32 = 2;
/// A phase of an upload: the finished file was taken away.
pub const UPLOAD_PHASE_GONE: i32 = 3;

/// The state of an upload. Threads may share it, and it may outlive the store. The functions below return NULL
/// or 0 if inspection is NULL.
pub struct upload_inspection {
    _private: [u8; 0],
}

impl Handle for upload_inspection {
    type Value = Seen;
}

// The header promises it.
const _: () = handle::shareable::<Seen>();

/// The value of the handle.
pub(crate) struct Seen {
    uid: CString,
    file_name: CString,
    facts: Inspection,
}

/// The number of a phase.
pub(crate) fn phase_number(phase: Phase) -> i32 {
    match phase {
        Phase::Receiving => UPLOAD_PHASE_RECEIVING,
        Phase::Complete => UPLOAD_PHASE_COMPLETE,
        Phase::Gone => UPLOAD_PHASE_GONE,
        // The engine marks its phases as more to come; a new one gets its number here.
        _ => 0,
    }
}

/// Seconds since the epoch.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}

/// The number at which a range begins, and how many it has; zeros beyond the last.
pub(crate) fn range_at(ranges: &[Range<u64>], index: usize) -> (u64, u64) {
    ranges.get(index).map_or((0, 0), |range| (range.start, range.end - range.start))
}

/// Reads the state of an upload and sets *inspection. Free it with upload_inspection_free. One call gives a
/// client all it needs to continue after an interruption.
///
/// The call takes no lock, changes nothing and never waits. It reads the table of chunks once, 32 bytes for
/// each chunk. It returns the missing chunks as ranges, from the chunk number from_chunk on, at most 1000
/// ranges. If there are more, upload_inspection_next_chunk gives the from_chunk of the next call.
///
/// Fails with UPLOAD_NOT_FOUND or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store, uid or inspection is
/// NULL. It succeeds for an upload whose file was taken, with UPLOAD_PHASE_GONE.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_inspect(
    store: *const upload_store,
    uid: *const c_char,
    from_chunk: u64,
    inspection: *mut *mut upload_inspection,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (inspection, error) = unsafe { (Out::cleared(inspection), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        args::wanted("inspection", &inspection)?;
        // SAFETY: NULL or a C string, by the header's contract.
        let uid = unsafe { args::required_uid(uid) }?;
        inspection.give(Seen::new(store.inspect(&uid, from_chunk)?)?);
        Ok(())
    })
}

impl Seen {
    fn new(facts: Inspection) -> Result<Seen> {
        Ok(Seen { uid: c_text(facts.uid.as_str())?, file_name: c_text(facts.file_name.as_str())?, facts })
    }
}

/// The uid of the upload.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_uid(inspection: *const upload_inspection) -> *const c_char {
    ask(inspection, std::ptr::null(), |seen| seen.uid.as_ptr())
}

/// The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
/// any text. Do not use it as a path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_file_name(inspection: *const upload_inspection) -> *const c_char {
    ask(inspection, std::ptr::null(), |seen| seen.file_name.as_ptr())
}

/// The declared size of the file, in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_total_size(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.total_size)
}

/// The declared number of chunks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_chunk_count(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.chunk_count)
}

/// The number of bytes in the received chunks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_received_size(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.received_size)
}

/// The number of received chunks. After a power failure some of them may be damaged; upload_get and
/// upload_verify detect this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_received_count(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.received_count)
}

/// The phase of the upload: one of the UPLOAD_PHASE_ values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_phase(inspection: *const upload_inspection) -> i32 {
    ask(inspection, 0, |seen| phase_number(seen.facts.phase))
}

/// The time of the last accepted chunk or upload_get, in seconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_last_activity(inspection: *const upload_inspection) -> i64 {
    ask(inspection, 0, |seen| seconds(seen.facts.last_activity))
}

/// The number of ranges of missing chunks in this inspection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_missing_ranges(inspection: *const upload_inspection) -> usize {
    ask(inspection, 0, |seen| seen.facts.missing.len())
}

/// The first chunk number of a range. index counts from 0. Returns 0 if index is beyond the last range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_range_first(inspection: *const upload_inspection, index: usize) -> u64 {
    ask(inspection, 0, |seen| range_at(&seen.facts.missing, index).0)
}

/// The number of chunks in a range. index counts from 0. Returns 0 if index is beyond the last range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_range_count(inspection: *const upload_inspection, index: usize) -> u64 {
    ask(inspection, 0, |seen| range_at(&seen.facts.missing, index).1)
}

/// The from_chunk with which upload_inspect returns the next ranges, or 0 if there are no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_next_chunk(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.next_chunk.unwrap_or(0))
}

/// Frees the handle and its strings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_free(inspection: *mut upload_inspection) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(inspection) };
}

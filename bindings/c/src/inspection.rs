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

/// A phase: chunks may come; or all are there, and the file was not asked for yet.
pub const UPLOAD_PHASE_RECEIVING: i32 = 1;
/// A phase: the finished file is there.
pub const UPLOAD_PHASE_COMPLETE: i32 = 2;
/// A phase: the finished file was taken away.
pub const UPLOAD_PHASE_GONE: i32 = 3;

/// What is known of an upload. It may be shared between threads and may outlive the store. The functions
/// below answer NULL or 0 when they are asked about NULL.
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

/// Asks what is known of an upload and sets *inspection, to be freed with upload_inspection_free. All a
/// client needs to go on after a break, in one call.
///
/// Takes no lock, changes nothing, and never waits; reads the table of chunks once, 32 bytes for each. The
/// missing chunks are told as ranges, from the chunk number from_chunk on; one answer holds at most 1000
/// of them. Where there are more, upload_inspection_next_chunk says from where to ask again.
///
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_IO or, if one of store, uid and inspection is NULL,
/// UPLOAD_INVALID_ARGUMENT. An upload whose file was taken is no failure: its phase says so.
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

/// The file_name of the upload's first chunk, word for word; "" if it had none. It comes from the client
/// and may be anything: do not make a path of it.
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

/// How many bytes are in the chunks that are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_received_size(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.received_size)
}

/// How many chunks are there. After a power failure some of them may turn out to be damaged, which
/// upload_get and upload_verify find out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_received_count(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.received_count)
}

/// What the upload is: one of the UPLOAD_PHASE_ values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_phase(inspection: *const upload_inspection) -> i32 {
    ask(inspection, 0, |seen| phase_number(seen.facts.phase))
}

/// When the last chunk was accepted or the file was last asked for: seconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_last_activity(inspection: *const upload_inspection) -> i64 {
    ask(inspection, 0, |seen| seconds(seen.facts.last_activity))
}

/// How many ranges of missing chunks this answer holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_missing_ranges(inspection: *const upload_inspection) -> usize {
    ask(inspection, 0, |seen| seen.facts.missing.len())
}

/// The first chunk number of a range; index counts from 0, and beyond the last range the answer is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_range_first(inspection: *const upload_inspection, index: usize) -> u64 {
    ask(inspection, 0, |seen| range_at(&seen.facts.missing, index).0)
}

/// How many chunks a range has; index counts from 0, and beyond the last range the answer is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_range_count(inspection: *const upload_inspection, index: usize) -> u64 {
    ask(inspection, 0, |seen| range_at(&seen.facts.missing, index).1)
}

/// What to pass as from_chunk to get the ranges that follow; 0 if these were the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_next_chunk(inspection: *const upload_inspection) -> u64 {
    ask(inspection, 0, |seen| seen.facts.next_chunk.unwrap_or(0))
}

/// Frees the handle, and the strings that were asked of it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_inspection_free(inspection: *mut upload_inspection) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(inspection) };
}

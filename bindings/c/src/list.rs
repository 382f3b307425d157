//! `upload_list`: what is in a store.

use std::ffi::{CString, c_char};

use engine::{List, Listed};

use crate::error::upload_error;
use crate::failure::invalid;
use crate::finished::c_text;
use crate::handle::{self, Handle, Out, ask};
use crate::inspection::{phase_number, seconds};
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// A list of the uploads in a store. Only one thread at a time may use it. It may outlive the store.
pub struct upload_list {
    _private: [u8; 0],
}

impl Handle for upload_list {
    type Value = List;
}

/// One upload of a list. Threads may share it, and it may outlive the list. The functions below return NULL or
/// 0 if listed is NULL.
pub struct upload_listed {
    _private: [u8; 0],
}

impl Handle for upload_listed {
    type Value = Entry;
}

// The header promises it.
const _: () = handle::shareable::<Entry>();

/// The value of the handle.
pub(crate) struct Entry {
    uid: CString,
    file_name: CString,
    facts: Listed,
}

/// Begins a list of the uploads that this store sees, in no particular order, and sets *list. Free it with
/// upload_list_free. A directory that does not exist gives an empty list. Entries that are not uploads are
/// skipped. Uploads that are made or removed during the listing may be listed or not.
///
/// Fails with UPLOAD_IO if the store cannot be read. Fails with UPLOAD_INVALID_ARGUMENT if store or list is
/// NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_list_open(
    store: *const upload_store,
    list: *mut *mut upload_list,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (list, error) = unsafe { (Out::cleared(list), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        args::wanted("list", &list)?;
        list.give(store.list()?);
        Ok(())
    })
}

/// Reads the next upload and sets *listed. Free it with upload_listed_free. After the last upload it sets
/// *listed to NULL and returns UPLOAD_OK. For an upload that cannot be read it returns UPLOAD_IO; the next call
/// continues with the next upload.
///
/// Fails with UPLOAD_INVALID_ARGUMENT if list or listed is NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_list_next(
    list: *mut upload_list,
    listed: *mut *mut upload_listed,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (listed, error) = unsafe { (Out::cleared(listed), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle that nobody else uses during the call, by the header's contract.
        let list = unsafe { handle::borrow_mut(list) }.ok_or_else(|| invalid("list", "list is NULL"))?;
        args::wanted("listed", &listed)?;
        if let Some(facts) = list.next().transpose()? {
            let (uid, file_name) = (c_text(facts.uid.as_str())?, c_text(facts.file_name.as_str())?);
            listed.give(Entry { uid, file_name, facts });
        }
        Ok(())
    })
}

/// Frees the list. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_list_free(list: *mut upload_list) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(list) };
}

/// The uid of the upload.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_uid(listed: *const upload_listed) -> *const c_char {
    ask(listed, std::ptr::null(), |entry| entry.uid.as_ptr())
}

/// The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
/// any text. Do not use it as a path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_file_name(listed: *const upload_listed) -> *const c_char {
    ask(listed, std::ptr::null(), |entry| entry.file_name.as_ptr())
}

/// The declared size of the file, in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_total_size(listed: *const upload_listed) -> u64 {
    ask(listed, 0, |entry| entry.facts.total_size)
}

/// The declared number of chunks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_chunk_count(listed: *const upload_listed) -> u64 {
    ask(listed, 0, |entry| entry.facts.chunk_count)
}

/// The phase of the upload: one of the UPLOAD_PHASE_ values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_phase(listed: *const upload_listed) -> i32 {
    ask(listed, 0, |entry| phase_number(entry.facts.phase))
}

/// The time of the last accepted chunk or upload_get, in seconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_last_activity(listed: *const upload_listed) -> i64 {
    ask(listed, 0, |entry| seconds(entry.facts.last_activity))
}

/// Frees the handle and its strings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_listed_free(listed: *mut upload_listed) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(listed) };
}

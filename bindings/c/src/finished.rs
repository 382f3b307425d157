//! `upload_finished`: where the assembled file lies.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStringExt;

use engine::{Error, Finished, Result};

use crate::error::upload_error;
use crate::handle::{self, Handle, Out};
use crate::result::upload_result;
use crate::store::upload_store;
use crate::{args, boundary};

/// A finished upload. It may be shared between threads, keeps its values whatever happens to the file, and
/// may outlive the store. The functions below answer NULL or 0 when they are asked about NULL.
pub struct upload_finished {
    _private: [u8; 0],
}

impl Handle for upload_finished {
    type Value = Strings;
}

// The header promises it.
const _: () = handle::shareable::<Strings>();

/// What is behind the handle: [`Finished`], with its texts as C strings.
pub(crate) struct Strings {
    uid: CString,
    path: CString,
    file_name: CString,
    total_size: u64,
    crc32c: u32,
}

impl Strings {
    pub(crate) fn new(finished: Finished) -> Result<Strings> {
        // The path came in as a C string and the engine refuses file names with NUL.
        let c_string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Error::Internal("a NUL in a text".into()));
        Ok(Strings {
            uid: c_string(finished.uid.as_str().into())?,
            path: c_string(finished.path.into_os_string().into_vec())?,
            file_name: c_string(finished.file_name.into_bytes())?,
            total_size: finished.total_size,
            crc32c: finished.crc32c,
        })
    }
}

/// Asks for the assembled file of an upload and sets *finished, to be freed with upload_finished_free.
///
/// The first call that finds all chunks there finishes the upload; every further one, in any process,
/// answers the same path, until the file is taken away. From then on the chunks are closed: the same
/// bytes again are accepted, others are UPLOAD_CONFLICT.
///
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE, UPLOAD_SIZE_MISMATCH, UPLOAD_GONE, UPLOAD_IO,
/// UPLOAD_NO_SPACE or, if one of store, uid and finished is NULL, UPLOAD_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_get(
    store: *const upload_store,
    uid: *const c_char,
    finished: *mut *mut upload_finished,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (finished, error) = unsafe { (Out::cleared(finished), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        args::wanted("finished", &finished)?;
        if uid.is_null() {
            return Err(args::invalid("uid is NULL"));
        }
        // SAFETY: a C string, by the header's contract.
        let uid = unsafe { args::uid(uid) };
        finished.give(Strings::new(store.get(&uid)?)?);
        Ok(())
    })
}

/// The uid of the upload.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_uid(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.uid.as_ptr())
}

/// The absolute path of the file, on the file system of the store. The caller may read, rename or remove
/// the file. It contains the uid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_path(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.path.as_ptr())
}

/// The file_name of the upload's first chunk, word for word; "" if it had none. It comes from the client
/// and may be anything, "../../etc/passwd" too: do not make a path of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_file_name(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.file_name.as_ptr())
}

/// How many bytes the file has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_total_size(finished: *const upload_finished) -> u64 {
    ask(finished, 0, |finished| finished.total_size)
}

/// The CRC-32C (Castagnoli) of the file, from checksums that were taken as the chunks arrived.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_crc32c(finished: *const upload_finished) -> u32 {
    ask(finished, 0, |finished| finished.crc32c)
}

/// Frees the handle, and the strings that were asked of it. NULL is allowed. The file stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_free(finished: *mut upload_finished) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    boundary::or((), || unsafe { handle::free(finished) });
}

fn ask<T: Copy>(finished: *const upload_finished, absent: T, fact: impl FnOnce(&Strings) -> T) -> T {
    // SAFETY: NULL or a live handle, by the header's contract.
    boundary::or(absent, || unsafe { handle::borrow(finished) }.map_or(absent, fact))
}

//! `upload_finished`: where the assembled file lies.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStringExt;

use engine::{Error, Finished};

use crate::error::upload_error;
use crate::failure::Result;
use crate::handle::{self, Handle, Out, ask};
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

/// The value of the handle: [`Finished`], with its texts as C strings.
pub(crate) struct Strings {
    uid: CString,
    path: CString,
    file_name: CString,
    total_size: u64,
    crc32c: u32,
}

impl Strings {
    pub(crate) fn new(finished: Finished) -> Result<Strings> {
        Ok(Strings {
            uid: c_text(finished.uid.as_str())?,
            path: c_text(finished.path.into_os_string().into_vec())?,
            file_name: c_text(finished.file_name)?,
            total_size: finished.total_size,
            crc32c: finished.crc32c,
        })
    }
}

/// A text for C. Paths came in as C strings, and the engine refuses file names with NUL.
pub(crate) fn c_text(bytes: impl Into<Vec<u8>>) -> Result<CString> {
    Ok(CString::new(bytes).map_err(|_| Error::Internal("a NUL in a text".into()))?)
}

/// Asks for the assembled file of an upload and sets *finished, to be freed with upload_finished_free.
///
/// The first call that finds all chunks there finishes the upload; every further one, in any process,
/// answers the same path, until the file is taken away. From then on the chunks are closed: the same
/// bytes again are accepted, others are UPLOAD_CONFLICT.
///
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE, UPLOAD_SIZE_MISMATCH, UPLOAD_CHECKSUM_MISMATCH (the
/// file does not have its file_digest), UPLOAD_GONE, UPLOAD_IO, UPLOAD_NO_SPACE or, if one of store, uid and
/// finished is NULL, UPLOAD_INVALID_ARGUMENT.
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
        // SAFETY: NULL or a C string, by the header's contract.
        let uid = unsafe { args::required_uid(uid) }?;
        finished.give(Strings::new(store.get(&uid)?)?);
        Ok(())
    })
}

/// Puts the assembled file at its permanent place, destination, finishing the upload if need be, and sets
/// *finished, whose path is the destination, to be freed with upload_finished_free; finished may be NULL.
/// From then on the upload is UPLOAD_GONE.
///
/// A rename where that is possible. Onto another file system it is copied, by the kernel where it can,
/// and appears when it is whole: until then it is a hidden file beside the destination, and a copy that was cut
/// off goes on where it was. From level UPLOAD_DURABILITY_COMPLETE on it is on disk when the call returns. A
/// relative path is resolved against the current directory. What is there already is replaced only if
/// overwrite is 1; otherwise it is 0.
///
/// May be repeated, after a crash at any instant: the same destination succeeds again while the file is
/// there and has its size, another is UPLOAD_GONE. Of several callers with different destinations one
/// succeeds. A copy that was begun at another destination is removed. If it cannot be removed, for example
/// because its file system became read-only, the call succeeds, and a file .upload-*.part stays there.
///
/// Derive the destination from the uid, or store both together before the call. After a crash only the same
/// destination succeeds: a program that makes up another one gets UPLOAD_GONE, and cannot ask where the file is.
///
/// Fails as upload_get; with UPLOAD_IO and errno EEXIST if something is there, or EISDIR if that is a
/// directory and overwrite is 1; and with UPLOAD_INVALID_ARGUMENT if store, uid or destination is NULL,
/// overwrite is neither 0 nor 1, or the destination has no file name, or lies in the store's own directory
/// or in that of an upload.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_move_to(
    store: *const upload_store,
    uid: *const c_char,
    destination: *const c_char,
    overwrite: i32,
    finished: *mut *mut upload_finished,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (finished, error) = unsafe { (Out::cleared(finished), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        // SAFETY: NULL or C strings, by the header's contract.
        let (uid, destination) = unsafe { (args::required_uid(uid)?, args::path("destination", destination)?) };
        let overwrite = args::flag("overwrite", overwrite)?;
        finished.give(Strings::new(store.move_to(&uid, destination, overwrite)?)?);
        Ok(())
    })
}

/// The uid of the upload.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_uid(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.uid.as_ptr())
}

/// The absolute path of the file: in the store, then it contains the uid, or where upload_move_to put it. The
/// caller may read, rename or remove the file.
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
    unsafe { handle::free(finished) };
}

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

/// A finished upload. Threads may share it, and it may outlive the store. It keeps its values when the file
/// changes or disappears. The functions below return NULL or 0 if finished is NULL.
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

/// Returns the assembled file of an upload: sets *finished. Free it with upload_finished_free.
///
/// The first call that finds all chunks there finishes the upload. Every further call, in any process, returns
/// the same path until the file is taken away. A finished upload accepts chunks with the same bytes; chunks
/// with other bytes are UPLOAD_CONFLICT.
///
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE, UPLOAD_SIZE_MISMATCH, UPLOAD_CHECKSUM_MISMATCH (the file
/// does not match its file_digest), UPLOAD_GONE, UPLOAD_IO or UPLOAD_NO_SPACE. Fails with
/// UPLOAD_INVALID_ARGUMENT if store, uid or finished is NULL.
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

/// Moves the assembled file to destination, its permanent place, and finishes the upload first if necessary.
/// Sets *finished, whose path is the destination. Free it with upload_finished_free. finished may be NULL.
/// After the move the upload is UPLOAD_GONE.
///
/// The file is renamed if possible. On another file system it is copied, by the kernel if possible. The copy is
/// a hidden file beside the destination until it is whole. An interrupted copy continues where it stopped. At
/// the levels UPLOAD_DURABILITY_COMPLETE and UPLOAD_DURABILITY_CHUNK the file is on disk when the call returns.
/// The current directory resolves a relative path. If overwrite is 1, an existing file is replaced; if
/// overwrite is 0, it is not.
///
/// The call may be repeated after a crash at any instant. The same destination succeeds again while the file is
/// there and has its size. Another destination is UPLOAD_GONE. Of several callers with different destinations
/// one succeeds. A copy that was begun at another destination is removed. If it cannot be removed, for example
/// because its file system became read-only, the call succeeds and a file .upload-*.part stays there.
///
/// Derive the destination from the uid, or store both together before the call. After a crash only the same
/// destination succeeds. A program that makes up another destination gets UPLOAD_GONE, and cannot ask where the
/// file is.
///
/// Fails as upload_get does. If the destination exists and overwrite is 0, fails with UPLOAD_IO and errno
/// EEXIST. If the destination is a directory and overwrite is 1, the errno is EISDIR. Fails with
/// UPLOAD_INVALID_ARGUMENT if store, uid or destination is NULL, or overwrite is neither 0 nor 1. Also fails so
/// if the destination has no file name, or lies in the directory of the store or of an upload.
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

/// The absolute path of the file. A path in the store contains the uid. After upload_move_to the path is the
/// destination. The caller may read, rename or remove the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_path(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.path.as_ptr())
}

/// The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
/// any text, even "../../etc/passwd". Do not use it as a path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_file_name(finished: *const upload_finished) -> *const c_char {
    ask(finished, std::ptr::null(), |finished| finished.file_name.as_ptr())
}

/// The size of the file in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_total_size(finished: *const upload_finished) -> u64 {
    ask(finished, 0, |finished| finished.total_size)
}

/// The CRC-32C (Castagnoli) of the file, combined from the checksums of the chunks as they arrived.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_crc32c(finished: *const upload_finished) -> u32 {
    ask(finished, 0, |finished| finished.crc32c)
}

/// Frees the handle and its strings. NULL is allowed. The file stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_finished_free(finished: *mut upload_finished) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(finished) };
}

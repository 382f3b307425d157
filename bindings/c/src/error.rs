//! `upload_error`: why a call failed, with the facts.

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;

use engine::Error;

use crate::failure::Failure;
use crate::handle::{self, Handle, ask};
use crate::result::upload_result;

/// The reason for a failure. Threads may share it, and it may outlive the store. The functions below accept
/// every error. They return NULL or 0 if a fact does not apply or error is NULL. upload_error_message never
/// returns NULL.
pub struct upload_error {
    _private: [u8; 0],
}

impl Handle for upload_error {
    type Value = Facts;
}

// The header promises it.
const _: () = handle::shareable::<Facts>();

/// The value of the handle.
pub(crate) struct Facts {
    code: upload_result,
    message: CString,
    os_errno: i32,
    path: Option<CString>,
    parameter: Option<CString>,
    missing_count: u64,
    first_missing: u64,
    limit: Option<CString>,
    limit_value: u64,
    received_size: u64,
    declared_size: u64,
}

impl Facts {
    pub(crate) fn new(failure: &Failure) -> Facts {
        let error = &failure.error;
        let mut facts = Facts {
            code: error.kind().into(),
            message: c_string(error.to_string().into_bytes()),
            os_errno: error.os_errno().unwrap_or(0),
            path: error.path().map(|path| c_string(path.as_os_str().as_bytes().to_vec())),
            parameter: failure.parameter.map(|name| c_string(name.into())),
            missing_count: 0,
            first_missing: 0,
            limit: None,
            limit_value: 0,
            received_size: 0,
            declared_size: 0,
        };
        match *error {
            Error::LimitExceeded { limit, value, .. } => {
                facts.limit = Some(c_string(limit.into()));
                facts.limit_value = value;
            }
            Error::Incomplete { missing_count, first_missing, .. } => {
                facts.missing_count = missing_count;
                facts.first_missing = first_missing;
            }
            Error::SizeMismatch { received_size, declared_size, .. } => {
                facts.received_size = received_size;
                facts.declared_size = declared_size;
            }
            _ => {}
        }
        facts
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        self.message.to_str().unwrap()
    }
}

/// A text for C; from a NUL on, if there should be one, it is lost.
fn c_string(mut bytes: Vec<u8>) -> CString {
    bytes.push(0);
    CStr::from_bytes_until_nul(&bytes).unwrap_or_default().to_owned()
}

/// The result that the call returned, or UPLOAD_OK if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_code(error: *const upload_error) -> upload_result {
    ask(error, upload_result::UPLOAD_OK, |facts| facts.code)
}

/// A sentence in English, UTF-8, for logs. It is never NULL; it is "" if error is NULL. It contains numbers and
/// the first eight digits of the uid. It quotes text from the client with unusual characters escaped. It never
/// contains content. Later versions may change it; show clients the name of the result instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_message(error: *const upload_error) -> *const c_char {
    ask(error, c"".as_ptr(), |facts| facts.message.as_ptr())
}

/// UPLOAD_IO and UPLOAD_NO_SPACE: the operating system's error number, as in <errno.h>.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_os_errno(error: *const upload_error) -> i32 {
    ask(error, 0, |facts| facts.os_errno)
}

/// UPLOAD_IO and UPLOAD_NO_SPACE: the path of the file or directory. It may contain the whole uid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_path(error: *const upload_error) -> *const c_char {
    ask(error, std::ptr::null(), |facts| facts.path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()))
}

/// UPLOAD_INVALID_ARGUMENT: the name of the refused parameter, or of the refused member of a struct, as in this
/// header. NULL if it is not known. A wrong size of a buffer names its pointer, and a wrong struct_size the
/// parameter that points to the struct. If two values contradict each other, it names one of them. Since 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_parameter(error: *const upload_error) -> *const c_char {
    ask(error, std::ptr::null(), |facts| facts.parameter.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()))
}

/// UPLOAD_INCOMPLETE: the number of missing chunks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_missing_count(error: *const upload_error) -> u64 {
    ask(error, 0, |facts| facts.missing_count)
}

/// UPLOAD_INCOMPLETE: the number of the first missing chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_first_missing(error: *const upload_error) -> u64 {
    ask(error, 0, |facts| facts.first_missing)
}

/// UPLOAD_LIMIT_EXCEEDED: the name of the limit. "max_total_size", "max_chunk_count", "max_store_size" and
/// "max_uploads" are options. "data_size" is twice the declared size. Later versions may add limits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_limit(error: *const upload_error) -> *const c_char {
    ask(error, std::ptr::null(), |facts| facts.limit.as_ref().map_or(std::ptr::null(), |limit| limit.as_ptr()))
}

/// UPLOAD_LIMIT_EXCEEDED: the value of the limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_limit_value(error: *const upload_error) -> u64 {
    ask(error, 0, |facts| facts.limit_value)
}

/// UPLOAD_SIZE_MISMATCH: the sum of the sizes of the chunks, in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_received_size(error: *const upload_error) -> u64 {
    ask(error, 0, |facts| facts.received_size)
}

/// UPLOAD_SIZE_MISMATCH: the total_size of the upload's first chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_declared_size(error: *const upload_error) -> u64 {
    ask(error, 0, |facts| facts.declared_size)
}

/// Frees the error and its strings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_error_free(error: *mut upload_error) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(error) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Every number that C can ask of `error`, and whether path and limit are there.
    fn numbers(error: Error) -> ([u64; 6], i32, Option<CString>, Option<CString>) {
        let code = error.kind().code();
        let raw = handle::into_raw::<upload_error>(Facts::new(&error.into()));
        let text = |text: *const c_char| {
            // SAFETY: NULL or a C string of the live handle.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
        };
        // SAFETY: a live handle, freed at the end.
        unsafe {
            assert_eq!(upload_error_code(raw) as i32, code);
            let asked = [
                upload_error_missing_count(raw),
                upload_error_first_missing(raw),
                upload_error_limit_value(raw),
                upload_error_received_size(raw),
                upload_error_declared_size(raw),
                upload_error_message(raw).is_null().into(),
            ];
            let answer =
                (asked, upload_error_os_errno(raw), text(upload_error_path(raw)), text(upload_error_limit(raw)));
            upload_error_free(raw);
            answer
        }
    }

    #[test]
    fn each_fact_has_its_accessor() {
        let uid = || "01234567".to_owned();
        let incomplete = Error::Incomplete { uid: uid(), missing_count: 3, first_missing: 5, chunk_count: 9 };
        assert_eq!(numbers(incomplete), ([3, 5, 0, 0, 0, 0], 0, None, None));
        let limit = Error::LimitExceeded { limit: "max_total_size", value: 7, asked: 8 };
        assert_eq!(numbers(limit), ([0, 0, 7, 0, 0, 0], 0, None, Some(c"max_total_size".into())));
        let size = Error::SizeMismatch { uid: uid(), received_size: 8, declared_size: 9 };
        assert_eq!(numbers(size), ([0, 0, 0, 8, 9, 0], 0, None, None));
        let source = io::Error::from_raw_os_error(28);
        let full = Error::NoSpace { action: "cannot write".into(), path: "/a/b".into(), source };
        assert_eq!(numbers(full), ([0; 6], 28, Some(c"/a/b".into()), None));
        assert_eq!(numbers(Error::Conflict("x".into())), ([0; 6], 0, None, None));
    }

    #[test]
    fn a_nul_ends_a_message_but_does_not_lose_it() {
        assert_eq!(c_string(b"ab\0c".to_vec()).as_c_str(), c"ab");
        assert_eq!(c_string(vec![]).as_c_str(), c"");
    }
}

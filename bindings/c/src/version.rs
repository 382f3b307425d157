//! The version of the library that runs.

use std::ffi::{CStr, c_char};

/// The version of the library that runs, such as "1.2.3"; that of this header is UPLOAD_VERSION. The
/// string is static.
#[unsafe(no_mangle)]
pub extern "C" fn upload_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };
    VERSION.as_ptr()
}

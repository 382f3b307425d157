//! The version of the library that runs.

use std::ffi::{CStr, c_char};

/// The version of the running library, for example "1.2.3". UPLOAD_VERSION is the version of this header. The
/// string is static.
#[unsafe(no_mangle)]
pub extern "C" fn upload_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };
    VERSION.as_ptr()
}

/// The version of the running library as a number: 1002003 is 1.2.3. It grows with every version.
/// UPLOAD_VERSION_NUMBER is the number of this header. Since 0.2.
#[unsafe(no_mangle)]
pub extern "C" fn upload_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        match u32::from_str_radix(text, 10) {
            Ok(number) if number < 1000 => number,
            _ => panic!("each part of a version has at most three digits"),
        }
    }
    const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
    const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));
    const PATCH: u32 = number(env!("CARGO_PKG_VERSION_PATCH"));
    (MAJOR * 1000 + MINOR) * 1000 + PATCH
}

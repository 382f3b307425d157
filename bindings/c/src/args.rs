//! What C passes in: the rules for NULL, for text and for sizes.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::failure::{Result, invalid};
use crate::handle::{self, Handle, Out};

/// A handle that must be there.
///
/// # Safety
/// As for [`handle::borrow`].
pub(crate) unsafe fn required<'a, H: Handle>(name: &'static str, raw: *const H) -> Result<&'a H::Value> {
    // SAFETY: by this function's contract.
    unsafe { handle::borrow(raw) }.ok_or_else(|| invalid(name, format!("{name} is NULL")))
}

/// A number that means yes or no.
pub(crate) fn flag(name: &'static str, number: i32) -> Result<bool> {
    match number {
        0 | 1 => Ok(number == 1),
        _ => Err(invalid(name, format!("{name} is {number}, not 0 or 1"))),
    }
}

/// A `**` parameter without which the call is of no use.
pub(crate) fn wanted<H: Handle>(name: &'static str, out: &Out<H>) -> Result<()> {
    if out.wanted() { Ok(()) } else { Err(invalid(name, format!("{name} is NULL"))) }
}

/// A C string's bytes; `None` for NULL.
///
/// # Safety
/// `text` is NULL or a C string that stays as it is while the slice lives.
unsafe fn c_string<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: by this function's contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// UTF-8 text; NULL is the empty text.
///
/// # Safety
/// `text` is NULL or a C string that stays as it is while the result lives.
pub(crate) unsafe fn text<'a>(name: &'static str, text: *const c_char) -> Result<&'a str> {
    // SAFETY: by this function's contract.
    let bytes = unsafe { c_string(text) }.unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| invalid(name, format!("{name} is not UTF-8")))
}

/// A uid; NULL is the empty one. A uid that is not UTF-8 does not exist: the engine is given something it answers
/// `not_found`, after the checks that come before.
///
/// # Safety
/// `uid` is NULL or a C string that stays as it is while the result lives.
pub(crate) unsafe fn uid<'a>(uid: *const c_char) -> Cow<'a, str> {
    // SAFETY: by this function's contract.
    match std::str::from_utf8(unsafe { c_string(uid) }.unwrap_or_default()) {
        Ok(uid) => uid.into(),
        Err(_) => "\u{fffd}".into(),
    }
}

/// A uid that must be there.
///
/// # Safety
/// As for [`uid`].
pub(crate) unsafe fn required_uid<'a>(text: *const c_char) -> Result<Cow<'a, str>> {
    if text.is_null() {
        return Err(invalid("uid", "uid is NULL"));
    }
    // SAFETY: by this function's contract.
    Ok(unsafe { uid(text) })
}

/// A path: any bytes, but some.
///
/// # Safety
/// `path` is NULL or a C string that stays as it is while the result lives.
pub(crate) unsafe fn path<'a>(name: &'static str, path: *const c_char) -> Result<&'a Path> {
    // SAFETY: by this function's contract.
    match unsafe { c_string(path) } {
        None => Err(invalid(name, format!("{name} is NULL"))),
        Some([]) => Err(invalid(name, format!("{name} is empty"))),
        Some(bytes) => Ok(Path::new(OsStr::from_bytes(bytes))),
    }
}

/// `size` bytes from `start`, which may be NULL if `size` is 0.
///
/// # Safety
/// If `size` is neither 0 nor above `isize::MAX` and `start` is not NULL, there are so many readable bytes, which stay as
/// they are while the slice lives.
pub(crate) unsafe fn bytes<'a>(name: &'static str, start: *const c_void, size: usize) -> Result<&'a [u8]> {
    // What `start` is does not matter then, and Rust wants no NULL even for no bytes.
    if size == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err(invalid(name, format!("{name} is NULL, its size is {size}")));
    }
    if isize::try_from(size).is_err() {
        return Err(invalid(name, format!("{name} of {size} bytes does not fit into memory")));
    }
    // SAFETY: not NULL, not longer than any object can be, readable by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), size) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::{dangling, null};

    #[test]
    fn null_is_empty_or_refused() {
        // SAFETY: NULL is allowed everywhere here, and a dangling pointer for a size that is refused or 0.
        unsafe {
            assert_eq!(text("x", null()).unwrap(), "");
            assert_eq!(uid(null()), "");
            assert!(path("x", null()).is_err());
            assert!(path("x", c"".as_ptr()).is_err());
            assert_eq!(bytes("x", null(), 0).unwrap(), b"");
            assert_eq!(bytes("x", dangling(), 0).unwrap(), b"");
            assert!(bytes("x", null(), 1).is_err());
            assert!(bytes("x", dangling(), isize::MAX as usize + 1).is_err());
            assert!(bytes("x", dangling(), usize::MAX).is_err());
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_in_text_unknown_as_a_uid_and_fine_in_a_path() {
        let latin1 = c"\xe9t\xe9".as_ptr();
        // SAFETY: a static C string.
        unsafe {
            assert!(text("x", latin1).is_err());
            assert!(!uid(latin1).is_empty());
            assert_eq!(path("x", latin1).unwrap().as_os_str().as_bytes(), b"\xe9t\xe9");
        }
    }
}

//! `upload_result`, and the names of its values.

use std::ffi::{CStr, c_char};

use engine::ErrorKind;

use crate::guard;

/// What became of a call. The numbers never change, and no number is used again for something else:
/// 1 to 19 are the caller's mistakes, 20 to 39 states of an upload, 40 to 59 come from storage, and
/// from 90 on are internal. What a server would answer over HTTP is in parentheses.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // all but the first have theirs
pub enum upload_result {
    /// Done. (200)
    UPLOAD_OK = 0,
    /// The request is malformed or contradicts itself: a NULL, text that is not UTF-8 (a uid that
    /// is not is UPLOAD_NOT_FOUND, as any other that cannot be one), a chunk number that is not
    /// below the count, sizes that cannot add up. Nothing was stored. Do not send it again; the
    /// message says what is wrong. (400)
    UPLOAD_INVALID_ARGUMENT = 1,
    /// A limit of the store's options stands in the way of a new upload, or a chunk would take the
    /// upload's data beyond twice its declared size. upload_error_limit and upload_error_limit_value
    /// say which limit. Nothing was stored. After "data_size" a chunk that was to be replaced may be
    /// missing. Send the refused chunks again after the others. (413)
    UPLOAD_LIMIT_EXCEEDED = 2,
    /// The chunk does not have the checksum that came with it, and nothing was stored: send it again. Or,
    /// from upload_get and upload_move_to: the file does not have the one that its first chunk declared. (400)
    UPLOAD_CHECKSUM_MISMATCH = 3,
    /// There is no such upload: the uid is unknown, malformed, or of another store, which is not told
    /// apart; or the upload was removed. Start a new one. (404)
    UPLOAD_NOT_FOUND = 20,
    /// upload_get: chunks are missing. upload_error_missing_count and upload_error_first_missing say
    /// how many and which is the first. Send them, then ask again. (409)
    UPLOAD_INCOMPLETE = 21,
    /// The chunk contradicts the upload: another total_size, chunk_count or file_digest than its first
    /// chunk had, whatever became of the upload since, or other bytes for a chunk of a finished file.
    /// Nothing was stored. (409)
    UPLOAD_CONFLICT = 22,
    /// upload_get: no chunk is missing, but together they have not the declared size.
    /// upload_error_received_size and upload_error_declared_size give both. The upload stays open;
    /// send the wrong chunks again. (409)
    UPLOAD_SIZE_MISMATCH = 23,
    /// The file was finished and has been taken away by its owner. It does not come back. (410)
    UPLOAD_GONE = 24,
    /// The operating system refused, or the directory holds something that is not of this library's
    /// making (EBADMSG). upload_error_os_errno and upload_error_path say more. Repeat the call when the cause is
    /// cured. Acknowledged chunks are safe, but for one that this call was to replace. (500)
    UPLOAD_IO = 40,
    /// The disk is full, a quota is used up, or less than min_free_space would stay free. Repeat the call
    /// when there is space again. Acknowledged chunks are safe, but for one that this call was to
    /// replace. (507)
    UPLOAD_NO_SPACE = 41,
    /// A defect of this library. The message is worth a report; other calls are not affected. (500)
    UPLOAD_INTERNAL = 90,
}

impl upload_result {
    /// Every value with its name.
    const NAMES: [(upload_result, &CStr); 12] = [
        (upload_result::UPLOAD_OK, c"ok"),
        (upload_result::UPLOAD_INVALID_ARGUMENT, c"invalid_argument"),
        (upload_result::UPLOAD_LIMIT_EXCEEDED, c"limit_exceeded"),
        (upload_result::UPLOAD_CHECKSUM_MISMATCH, c"checksum_mismatch"),
        (upload_result::UPLOAD_NOT_FOUND, c"not_found"),
        (upload_result::UPLOAD_INCOMPLETE, c"incomplete"),
        (upload_result::UPLOAD_CONFLICT, c"conflict"),
        (upload_result::UPLOAD_SIZE_MISMATCH, c"size_mismatch"),
        (upload_result::UPLOAD_GONE, c"gone"),
        (upload_result::UPLOAD_IO, c"io"),
        (upload_result::UPLOAD_NO_SPACE, c"no_space"),
        (upload_result::UPLOAD_INTERNAL, c"internal"),
    ];
}

impl From<ErrorKind> for upload_result {
    fn from(kind: ErrorKind) -> upload_result {
        match kind {
            ErrorKind::InvalidArgument => upload_result::UPLOAD_INVALID_ARGUMENT,
            ErrorKind::LimitExceeded => upload_result::UPLOAD_LIMIT_EXCEEDED,
            ErrorKind::ChecksumMismatch => upload_result::UPLOAD_CHECKSUM_MISMATCH,
            ErrorKind::NotFound => upload_result::UPLOAD_NOT_FOUND,
            ErrorKind::Incomplete => upload_result::UPLOAD_INCOMPLETE,
            ErrorKind::Conflict => upload_result::UPLOAD_CONFLICT,
            ErrorKind::SizeMismatch => upload_result::UPLOAD_SIZE_MISMATCH,
            ErrorKind::Gone => upload_result::UPLOAD_GONE,
            ErrorKind::Io => upload_result::UPLOAD_IO,
            ErrorKind::NoSpace => upload_result::UPLOAD_NO_SPACE,
            // The engine may learn kinds before this list does; the table test below then fails.
            _ => upload_result::UPLOAD_INTERNAL,
        }
    }
}

/// The name of a result, as clients of a server may see it: "ok", "not_found", ...; "unknown" for a
/// number that is not in this version's list. The string is static.
#[unsafe(no_mangle)]
pub extern "C" fn upload_result_name(result: i32) -> *const c_char {
    guard::or(c"unknown", || {
        let known = upload_result::NAMES.iter().find(|(value, _)| *value as i32 == result);
        known.map_or(c"unknown", |(_, name)| name)
    })
    .as_ptr()
}

/// The HTTP status with which a server would answer, as in the list above: 200 for UPLOAD_OK, and 500 for a
/// number that is not in this version's list. Since 0.2.
#[unsafe(no_mangle)]
pub extern "C" fn upload_result_http_status(result: i32) -> i32 {
    let kind = ErrorKind::ALL.iter().find(|kind| kind.code() == result);
    kind.map_or(if result == upload_result::UPLOAD_OK as i32 { 200 } else { 500 }, |kind| kind.http_status().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_engine_has_its_number_and_name() {
        for &kind in ErrorKind::ALL {
            let result = upload_result::from(kind);
            assert_eq!(result as i32, kind.code());
            // SAFETY: the names are static C strings.
            let name = unsafe { CStr::from_ptr(upload_result_name(kind.code())) };
            assert_eq!(name.to_str(), Ok(kind.name()));
            assert_eq!(upload_result_http_status(kind.code()), i32::from(kind.http_status()));
        }
        assert_eq!(upload_result::NAMES.len(), ErrorKind::ALL.len() + 1);
    }

    #[test]
    fn other_numbers_are_unknown() {
        for number in [-1, 4, 19, 25, 91, i32::MIN, i32::MAX] {
            assert_eq!(upload_result_name(number), c"unknown".as_ptr());
            assert_eq!(upload_result_http_status(number), 500);
        }
        assert_eq!(upload_result_http_status(0), 200);
        assert_eq!(upload_result_name(0), c"ok".as_ptr());
    }
}

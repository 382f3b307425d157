//! `upload_result`, and the names of its values.

use std::ffi::{CStr, c_char};

use engine::ErrorKind;

use crate::guard;

/// The result of a call. The numbers never change, and no number is used again for another result. 1 to 19 are
/// mistakes of the caller, and 20 to 39 are states of an upload. 40 to 59 come from storage, and numbers from
/// 90 are internal. The number in parentheses is the HTTP status with which a server would answer.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // all but the first have theirs
pub enum upload_result {
    /// The call succeeded. (200)
    UPLOAD_OK = 0,
    /// The request is malformed or contradicts itself: for example a NULL, text that is not UTF-8, a chunk
    /// number that is not below the count, or sizes that cannot add up. A malformed uid is UPLOAD_NOT_FOUND
    /// instead. Nothing was stored. Do not repeat the call with the same arguments. upload_error_parameter and
    /// upload_error_message give the reason. (400)
    UPLOAD_INVALID_ARGUMENT = 1,
    /// A new upload would exceed a limit of the store's options, or a chunk would raise the upload's data above
    /// twice its declared size. upload_error_limit and upload_error_limit_value give the limit. Nothing was
    /// stored. After "data_size" the chunk that the call was to replace may be missing. Send the refused chunks
    /// again after the others. (413)
    UPLOAD_LIMIT_EXCEEDED = 2,
    /// From upload_handle_chunk: the content does not match its checksum. Nothing was stored; send the chunk
    /// again. From upload_get and upload_move_to: the file does not match its file_digest. (400)
    UPLOAD_CHECKSUM_MISMATCH = 3,
    /// The upload does not exist for this store: the uid is unknown or malformed, the upload was removed, or it
    /// is in another store or has another owner. The library does not tell these cases apart. Start a new
    /// upload. (404)
    UPLOAD_NOT_FOUND = 20,
    /// From upload_get and upload_move_to: chunks are missing. upload_error_missing_count gives their number,
    /// and upload_error_first_missing the first of them. Send the missing chunks, then repeat the call. (409)
    UPLOAD_INCOMPLETE = 21,
    /// The chunk contradicts the upload. Its total_size, chunk_count or file_digest may differ from the first
    /// chunk's, in any phase of the upload. Or the file is finished and the bytes differ. Nothing was stored.
    /// (409)
    UPLOAD_CONFLICT = 22,
    /// From upload_get and upload_move_to: no chunk is missing, but the sizes of the chunks do not add up to
    /// total_size. upload_error_received_size and upload_error_declared_size give both sizes. The upload stays
    /// open; send the wrong chunks again. (409)
    UPLOAD_SIZE_MISMATCH = 23,
    /// The file was finished and then taken away. It does not come back. (410)
    UPLOAD_GONE = 24,
    /// The operating system refused an operation, or the directory contains a foreign or damaged file
    /// (EBADMSG). upload_error_os_errno and upload_error_path give the details. Remove the cause, then repeat
    /// the call. Acknowledged chunks are safe, except a chunk that this call was to replace. (500)
    UPLOAD_IO = 40,
    /// The disk is full, a quota is used up, or less than min_free_space would stay free. Repeat the call when
    /// space is free again. Acknowledged chunks are safe, except a chunk that this call was to replace. (507)
    UPLOAD_NO_SPACE = 41,
    /// The library has a defect. Please report the message. Other calls are not affected. (500)
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

/// The name of a result: "ok", "not_found" and so on, or "unknown" for a number that this version does not
/// know. A server may show it to its clients. The string is static.
#[unsafe(no_mangle)]
pub extern "C" fn upload_result_name(result: i32) -> *const c_char {
    guard::or(c"unknown", || {
        let known = upload_result::NAMES.iter().find(|(value, _)| *value as i32 == result);
        known.map_or(c"unknown", |(_, name)| name)
    })
    .as_ptr()
}

/// The HTTP status with which a server would answer: 200 for UPLOAD_OK, the number in parentheses above for a
/// failure, or 500 for a number that this version does not know. Since 0.2.
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

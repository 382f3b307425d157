//! The objects that calls give, and all that can be asked of them.

use std::ffi::{CStr, c_char};
use std::ptr;

use chunked_upload_c::error::*;
use chunked_upload_c::expiry::UPLOAD_KEEP;
use chunked_upload_c::finished::*;
use chunked_upload_c::inspection::*;
use chunked_upload_c::list::*;
use chunked_upload_c::options::*;
use chunked_upload_c::result::{upload_result, upload_result_name};
use chunked_upload_c::store::*;
use chunked_upload_c::verification::*;

/// One that is alive, until it is freed.
pub(super) enum Object {
    Error(*mut upload_error, upload_result),
    Finished(*mut upload_finished),
    Inspection(*mut upload_inspection),
    Verification(*mut upload_verification),
    List(*mut upload_list),
    Listed(*mut upload_listed),
    Options(*mut upload_options),
}

/// The text at `text`; `None` for NULL.
///
/// # Safety
/// It is NULL or a C string.
pub(super) unsafe fn read(text: *const c_char) -> Option<Vec<u8>> {
    // SAFETY: by this function's contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec())
}

/// Text that an object always has.
///
/// # Safety
/// As for [`read`].
unsafe fn utf8(text: *const c_char) -> String {
    // SAFETY: by this function's contract.
    String::from_utf8(unsafe { read(text) }.expect("a text")).expect("UTF-8")
}

pub(super) fn is_uid(text: &str) -> bool {
    (1..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Object {
    /// Asks everything.
    pub(super) fn ask(&self) {
        // SAFETY: all are alive, and their texts C strings.
        unsafe {
            match *self {
                Object::Error(error, result) => ask_error(error, result),
                Object::Finished(finished) => {
                    assert!(is_uid(&utf8(upload_finished_uid(finished))));
                    assert_eq!(read(upload_finished_path(finished)).expect("a path")[0], b'/');
                    utf8(upload_finished_file_name(finished));
                    assert!(upload_finished_total_size(finished) <= i64::MAX as u64);
                    upload_finished_crc32c(finished);
                }
                Object::Inspection(inspection) => ask_inspection(inspection),
                Object::Verification(verification) => {
                    let checked = upload_verification_checked_count(verification);
                    let damaged = upload_verification_damaged_count(verification);
                    let ranges = upload_verification_damaged_ranges(verification);
                    assert!((1..=2).contains(&upload_verification_phase(verification)));
                    assert!(damaged <= checked && ranges as u64 <= damaged && ranges <= 1000);
                    for index in [ranges, usize::MAX] {
                        assert_eq!(upload_verification_range_first(verification, index), 0);
                        assert_eq!(upload_verification_range_count(verification, index), 0);
                    }
                }
                Object::Listed(listed) => {
                    assert!(is_uid(&utf8(upload_listed_uid(listed))));
                    utf8(upload_listed_file_name(listed));
                    assert!(upload_listed_total_size(listed) <= i64::MAX as u64);
                    assert!(upload_listed_chunk_count(listed) >= 1);
                    assert!((1..=3).contains(&upload_listed_phase(listed)));
                    assert!(upload_listed_last_activity(listed) > 0);
                }
                Object::List(_) | Object::Options(_) => {}
            }
        }
    }

    pub(super) fn free(self) {
        // SAFETY: it is alive, and not used again.
        unsafe {
            match self {
                Object::Error(error, _) => upload_error_free(error),
                Object::Finished(finished) => upload_finished_free(finished),
                Object::Inspection(inspection) => upload_inspection_free(inspection),
                Object::Verification(verification) => upload_verification_free(verification),
                Object::List(list) => upload_list_free(list),
                Object::Listed(listed) => upload_listed_free(listed),
                Object::Options(options) => upload_options_free(options),
            }
        }
    }
}

/// # Safety
/// It is alive.
unsafe fn ask_error(error: *const upload_error, result: upload_result) {
    // SAFETY: by this function's contract; its texts are C strings.
    unsafe {
        assert_eq!(upload_error_code(error), result);
        let message = utf8(upload_error_message(error));
        // A path may be in it, and that be long.
        assert!((1..6000).contains(&message.len()), "{message}");
        let storage = matches!(result, upload_result::UPLOAD_IO | upload_result::UPLOAD_NO_SPACE);
        assert_eq!(upload_error_os_errno(error) != 0, storage, "{message}");
        assert_eq!(read(upload_error_path(error)).is_some(), storage, "{message}");
        // What a client sent is escaped; a path is the program's own.
        assert!(storage || !message.chars().any(|c| c.is_ascii_control()), "{message}");
        let parameter = read(upload_error_parameter(error));
        let refused = result == upload_result::UPLOAD_INVALID_ARGUMENT;
        assert!(refused || parameter.is_none());
        assert!(!refused || parameter.is_some() || message.contains("no file can hold the table"), "{message}");
        let limit = read(upload_error_limit(error));
        assert_eq!(limit.is_some(), result == upload_result::UPLOAD_LIMIT_EXCEEDED);
        // Twice nothing is a limit, too.
        assert!(limit.is_some() || upload_error_limit_value(error) == 0);
        let incomplete = result == upload_result::UPLOAD_INCOMPLETE;
        assert_eq!(upload_error_missing_count(error) > 0, incomplete);
        assert!(incomplete || upload_error_first_missing(error) == 0);
        let sizes = (upload_error_received_size(error), upload_error_declared_size(error));
        assert_eq!(sizes.0 != sizes.1, result == upload_result::UPLOAD_SIZE_MISMATCH);
    }
}

/// # Safety
/// It is alive.
unsafe fn ask_inspection(seen: *const upload_inspection) {
    // SAFETY: by this function's contract; its texts are C strings.
    unsafe {
        assert!(is_uid(&utf8(upload_inspection_uid(seen))));
        utf8(upload_inspection_file_name(seen));
        let (count, received) = (upload_inspection_chunk_count(seen), upload_inspection_received_count(seen));
        assert!(received <= count && upload_inspection_received_size(seen) <= 2 * upload_inspection_total_size(seen));
        assert!((1..=3).contains(&upload_inspection_phase(seen)));
        assert!(upload_inspection_last_activity(seen) > 0);
        let ranges = upload_inspection_missing_ranges(seen);
        assert!(ranges <= 1000);
        let mut end = 0;
        for index in 0..ranges {
            let (first, many) =
                (upload_inspection_range_first(seen, index), upload_inspection_range_count(seen, index));
            assert!(first >= end && many >= 1 && many <= count - first, "{first} {many} of {count}");
            end = first + many;
        }
        let next = upload_inspection_next_chunk(seen);
        assert!(next == 0 || (end..count).contains(&next), "{next} after {end} of {count}");
        for index in [ranges, usize::MAX] {
            assert_eq!(upload_inspection_range_first(seen, index), 0);
            assert_eq!(upload_inspection_range_count(seen, index), 0);
        }
    }
}

/// Asks everything of NULL, and frees it.
pub(super) fn ask_null() {
    assert_eq!(UPLOAD_KEEP, u64::MAX);
    // SAFETY: NULL is allowed in all of these, and the texts are C strings.
    unsafe {
        let error = ptr::null_mut();
        assert_eq!(upload_error_code(error), upload_result::UPLOAD_OK);
        assert_eq!(utf8(upload_error_message(error)), "");
        assert_eq!(upload_error_os_errno(error), 0);
        assert!(upload_error_path(error).is_null() && upload_error_limit(error).is_null());
        let numbers = [
            upload_error_missing_count(error),
            upload_error_first_missing(error),
            upload_error_limit_value(error),
            upload_error_received_size(error),
            upload_error_declared_size(error),
        ];
        assert_eq!(numbers, [0; 5]);
        upload_error_free(error);

        let finished = ptr::null_mut();
        assert!(upload_finished_uid(finished).is_null() && upload_finished_path(finished).is_null());
        assert!(upload_finished_file_name(finished).is_null());
        assert_eq!((upload_finished_total_size(finished), upload_finished_crc32c(finished)), (0, 0));
        upload_finished_free(finished);

        let seen = ptr::null_mut();
        assert!(upload_inspection_uid(seen).is_null() && upload_inspection_file_name(seen).is_null());
        let numbers = [
            upload_inspection_total_size(seen),
            upload_inspection_chunk_count(seen),
            upload_inspection_received_size(seen),
            upload_inspection_received_count(seen),
            upload_inspection_missing_ranges(seen) as u64,
            upload_inspection_range_first(seen, 0),
            upload_inspection_range_count(seen, 0),
            upload_inspection_next_chunk(seen),
        ];
        assert_eq!(numbers, [0; 8]);
        assert_eq!((upload_inspection_phase(seen), upload_inspection_last_activity(seen)), (0, 0));
        upload_inspection_free(seen);

        let verified = ptr::null_mut();
        let numbers = [
            upload_verification_checked_count(verified),
            upload_verification_damaged_count(verified),
            upload_verification_damaged_ranges(verified) as u64,
            upload_verification_range_first(verified, 0),
            upload_verification_range_count(verified, 0),
        ];
        assert_eq!(numbers, [0; 5]);
        assert_eq!(upload_verification_phase(verified), 0);
        upload_verification_free(verified);

        let listed = ptr::null_mut();
        assert!(upload_listed_uid(listed).is_null() && upload_listed_file_name(listed).is_null());
        assert_eq!((upload_listed_total_size(listed), upload_listed_chunk_count(listed)), (0, 0));
        assert_eq!((upload_listed_phase(listed), upload_listed_last_activity(listed)), (0, 0));
        upload_listed_free(listed);
        upload_list_free(ptr::null_mut());
        upload_options_free(ptr::null_mut());
        upload_store_free(ptr::null_mut());
        assert_eq!(utf8(chunked_upload_c::version::upload_version()), env!("CARGO_PKG_VERSION"));
        assert_eq!(utf8(upload_result_name(-1)), "unknown");
    }
}

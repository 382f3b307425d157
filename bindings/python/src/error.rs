//! From the engine's errors to the exceptions of `chunked_upload.exceptions`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::import_exception;
use pyo3::prelude::*;

import_exception!(chunked_upload.exceptions, InvalidArgument);
import_exception!(chunked_upload.exceptions, LimitExceeded);
import_exception!(chunked_upload.exceptions, ChecksumMismatch);
import_exception!(chunked_upload.exceptions, NotFound);
import_exception!(chunked_upload.exceptions, Incomplete);
import_exception!(chunked_upload.exceptions, Conflict);
import_exception!(chunked_upload.exceptions, SizeMismatch);
import_exception!(chunked_upload.exceptions, Gone);
import_exception!(chunked_upload.exceptions, Io);
import_exception!(chunked_upload.exceptions, NoSpace);
import_exception!(chunked_upload.exceptions, Internal);

/// The exception for an error: the message first, then the facts in the order of the class's parameters.
pub fn exception(error: engine::Error) -> PyErr {
    use engine::Error;

    let (text, errno) = (error.to_string(), error.os_errno());
    match error {
        Error::InvalidArgument(_) => InvalidArgument::new_err(text),
        Error::LimitExceeded { limit, value, .. } => LimitExceeded::new_err((text, limit, value)),
        Error::ChecksumMismatch(_) => ChecksumMismatch::new_err(text),
        Error::NotFound { .. } => NotFound::new_err(text),
        Error::Incomplete { missing_count, first_missing, .. } => {
            Incomplete::new_err((text, missing_count, first_missing))
        }
        Error::Conflict(_) => Conflict::new_err(text),
        Error::SizeMismatch { received_size, declared_size, .. } => {
            SizeMismatch::new_err((text, received_size, declared_size))
        }
        Error::Gone { .. } => Gone::new_err(text),
        Error::Io { path, .. } => Io::new_err((text, errno, path.into_os_string())),
        Error::NoSpace { path, .. } => NoSpace::new_err((text, errno, path.into_os_string())),
        _ => Internal::new_err(text),
    }
}

/// A value that cannot even be given to the engine.
pub fn invalid_argument(text: String) -> PyErr {
    exception(engine::Error::InvalidArgument(text))
}

/// Runs the body of a method. A panic becomes `Internal`: pyo3's own `PanicException` is no `Exception`, so that a
/// server's last-resort handler would miss it.
pub fn guard<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    // Nothing is left in a half-changed state: the store is immutable, everything else belongs to this call.
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(exception(engine::Error::Internal(panic_message(&*panic)))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()
}

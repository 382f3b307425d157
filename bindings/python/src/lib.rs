//! The Python binding: the native part of the package `chunked_upload`.

mod age;
mod answers;
mod content;
mod error;
mod numbers;
mod store;
mod text;

use pyo3::prelude::*;

/// The native part of `chunked_upload`: import that instead.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::ffi::{PyInterpreterState_Get, PyInterpreterState_GetID};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::answers::UploadIterator;
    #[pymodule_export]
    use crate::store::Store;

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Refuses sub-interpreters. Classes are made once per process, so in a second interpreter an error raised here
    /// would not be the class that `except` names there.
    #[pymodule_init]
    fn init() -> PyResult<()> {
        // SAFETY: the import system calls this attached to an interpreter, so there is a current one.
        match unsafe { PyInterpreterState_GetID(PyInterpreterState_Get()) } {
            0 => Ok(()),
            _ => Err(PyImportError::new_err(
                "chunked_upload works in the main interpreter only (uWSGI: single-interpreter = true, \
                 mod_wsgi: WSGIApplicationGroup %{GLOBAL})",
            )),
        }
    }
}

//! What the calls answer.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// The answer to an accepted chunk. Immutable, compares by value, can be pickled.
#[pyclass(frozen, eq, hash, get_all, module = "chunked_upload")]
#[derive(PartialEq, Hash)]
pub struct Receipt {
    /// The uid of the upload that this chunk belongs to. A secret: a client that knows it may add to the
    /// upload and ask for its file.
    upload_uid: String,
    /// Whether all chunks are there, as far as this call can tell. A hint: Store.get decides.
    received_all: bool,
}

/// A finished upload, as Store.get answers it. Immutable, compares by value, can be pickled.
#[pyclass(frozen, eq, hash, get_all, module = "chunked_upload")]
#[derive(PartialEq, Hash)]
pub struct Upload {
    /// The upload's uid. A secret.
    uid: String,
    /// The absolute path of the file, decoded as os.fsdecode does. You may read the file, rename it or
    /// remove it.
    path: OsString,
    /// The name that the first chunk gave, verbatim. A client may send any name: never use it in a path
    /// unchecked.
    file_name: String,
    /// Bytes in the file.
    total_size: u64,
    /// CRC-32C of the whole file, from the checksums taken as the chunks arrived.
    crc32c: u32,
}

#[pymethods]
impl Receipt {
    #[new]
    fn new(upload_uid: String, received_all: bool) -> Receipt {
        Receipt { upload_uid, received_all }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let uid = quoted(py, &shown(&self.upload_uid))?;
        let received_all = if self.received_all { "True" } else { "False" };
        Ok(format!("Receipt(upload_uid={uid}, received_all={received_all})"))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (String, bool)) {
        let this = slf.get();
        (slf.get_type(), (this.upload_uid.clone(), this.received_all))
    }
}

#[pymethods]
impl Upload {
    #[new]
    fn new(uid: String, path: PathBuf, file_name: String, total_size: u64, crc32c: u32) -> Upload {
        Upload { uid, path: path.into_os_string(), file_name, total_size, crc32c }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let short = shown(&self.uid);
        // The directory is named after the uid.
        let path = self.path.to_string_lossy();
        let path = if self.uid.is_empty() { path.into_owned() } else { path.replace(&self.uid, &short) };
        Ok(format!(
            "Upload(uid={}, path={}, file_name={}, total_size={}, crc32c={:#010x})",
            quoted(py, &short)?,
            quoted(py, &path)?,
            quoted(py, &self.file_name)?,
            self.total_size,
            self.crc32c,
        ))
    }

    #[allow(clippy::type_complexity)] // the class and its arguments, as pickle wants them
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (String, OsString, String, u64, u32)) {
        let this = slf.get();
        let arguments = (this.uid.clone(), this.path.clone(), this.file_name.clone(), this.total_size, this.crc32c);
        (slf.get_type(), arguments)
    }
}

impl From<engine::Receipt> for Receipt {
    fn from(receipt: engine::Receipt) -> Receipt {
        Receipt { upload_uid: receipt.upload_uid.to_string(), received_all: receipt.received_all }
    }
}

impl From<engine::Finished> for Upload {
    fn from(finished: engine::Finished) -> Upload {
        Upload {
            uid: finished.uid.to_string(),
            path: finished.path.into_os_string(),
            file_name: finished.file_name,
            total_size: finished.total_size,
            crc32c: finished.crc32c,
        }
    }
}

/// The part of a uid that may be seen in a log.
fn shown(uid: &str) -> String {
    match uid.char_indices().nth(8) {
        Some((end, _)) => format!("{}…", &uid[..end]),
        None => uid.to_owned(),
    }
}

/// A string as Python writes it.
fn quoted(py: Python<'_>, text: &str) -> PyResult<String> {
    Ok(PyString::new(py, text).repr()?.to_string())
}

//! A chunk's bytes, readable while detached from the interpreter, when other threads run Python.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::text::Text;

/// The bytes of one chunk.
pub enum Content {
    /// A `bytes` object, kept alive. It never changes, so nothing is copied.
    Bytes(PyBackedBytes),
    /// A view of a `bytes` object, which is as constant.
    View(PyUntypedBuffer),
    /// A copy of memory that another thread may write to.
    Copy(Vec<u8>),
}

impl Content {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Content::Bytes(bytes) => bytes,
            // SAFETY: `extract` made sure that the view is contiguous and of a `bytes` object; the buffer keeps that
            // object alive and its memory in place for as long as `self` is borrowed. Nothing may write to a `bytes`
            // object.
            Content::View(buffer) => unsafe { contiguous(buffer) },
            Content::Copy(bytes) => bytes,
        }
    }
}

/// An upload key: the UTF-8 of a str, or bytes.
pub enum Key {
    Text(Text),
    Bytes(Content),
}

impl Key {
    /// The value of the parameter `upload_key`.
    pub fn get(&self) -> PyResult<&[u8]> {
        match self {
            Key::Text(text) => text.unicode("upload_key").map(str::as_bytes),
            Key::Bytes(content) => Ok(content.as_slice()),
        }
    }
}

impl FromPyObject<'_, '_> for Key {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Key> {
        match object.cast::<PyString>() {
            Ok(_) => object.extract().map(Key::Text),
            Err(_) => object.extract().map(Key::Bytes),
        }
    }
}

/// Who is calling: bytes.
pub struct Owner(Content);

impl Owner {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl FromPyObject<'_, '_> for Owner {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Owner> {
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("an owner is bytes, not a str: encode it"));
        }
        object.extract().map(Owner)
    }
}

impl FromPyObject<'_, '_> for Content {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Content> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Content::Bytes(PyBackedBytes::from(bytes.to_owned())));
        }
        let refuse = |cause: Option<PyErr>| {
            let kind = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            let error = PyTypeError::new_err(format!("a contiguous bytes-like object is required, not '{kind}'"));
            error.set_cause(object.py(), cause);
            error
        };
        // A memoryview gives every exporter's buffer the same full description (ctypes leaves out the strides).
        let view = PyMemoryView::from(&object).map_err(|error| refuse(Some(error)))?;
        let buffer = PyUntypedBuffer::get(&view).map_err(|error| refuse(Some(error)))?;
        if !buffer.is_c_contiguous() {
            return Err(refuse(None));
        }
        if view.getattr("obj")?.is_exact_instance_of::<PyBytes>() {
            return Ok(Content::View(buffer));
        }
        // SAFETY: contiguous, as just checked. The slice ends with this function, which stays attached: only code that
        // writes to a shared buffer without the GIL, and is a race in pure Python too, could change it meanwhile.
        let shared = unsafe { contiguous(&buffer) };
        let mut copy = Vec::new();
        copy.try_reserve_exact(shared.len()).map_err(|_| PyMemoryError::new_err("no memory to copy the content"))?;
        copy.extend_from_slice(shared);
        Ok(Content::Copy(copy))
    }
}

/// The memory of a buffer.
///
/// # Safety
///
/// The buffer is contiguous, and nothing writes to it while the slice lives.
unsafe fn contiguous(buffer: &PyUntypedBuffer) -> &[u8] {
    match buffer.len_bytes() {
        // The pointer of an empty buffer may be null.
        0 => &[],
        // SAFETY: a contiguous buffer is `size` bytes from its pointer on; the exporter keeps them while it is held.
        size => unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), size) },
    }
}

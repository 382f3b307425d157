//! Strings and paths from Python. A str may hold lone surrogates, which UTF-8 cannot express.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyString;

use crate::error::invalid_argument;

/// A str.
pub enum Text {
    /// Without a copy.
    Unicode(PyBackedStr),
    /// The default of a parameter.
    Default(&'static str),
    /// With U+FFFD in place of each lone surrogate.
    Replaced(String),
}

impl Text {
    /// The value of the parameter `name`, which must be Unicode.
    pub fn unicode(&self, name: &str) -> PyResult<&str> {
        match self {
            Text::Replaced(_) => Err(invalid_argument(format!("{name} holds a lone surrogate"))),
            _ => Ok(self.replaced()),
        }
    }

    /// The value with U+FFFD in place of each lone surrogate.
    pub fn replaced(&self) -> &str {
        match self {
            Text::Unicode(text) => text,
            Text::Default(text) => text,
            Text::Replaced(text) => text,
        }
    }
}

impl FromPyObject<'_, '_> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Text> {
        let text = object.cast::<PyString>()?;
        Ok(match PyBackedStr::try_from(text.to_owned()) {
            Ok(unicode) => Text::Unicode(unicode),
            Err(_) => Text::Replaced(text.to_string_lossy().into_owned()),
        })
    }
}

/// The path of the parameter `name`: a str or os.PathLike. A str that cannot be a path is a wrong value, not a wrong
/// type.
pub fn path(name: &str, object: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let path: PathBuf = object.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyUnicodeEncodeError>(object.py()) {
            return invalid_argument(format!("{name} holds a lone surrogate"));
        }
        error
    })?;
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(invalid_argument(format!("{name} holds a NUL")));
    }
    Ok(path)
}

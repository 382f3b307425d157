//! Integers from Python: a wrong type is a `TypeError`, a wrong value one of our errors.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::error::invalid_argument;

/// An int, or what has `__index__`, of any size: how large it may be is checked when it is used, and by name.
pub struct Number(Option<u64>);

impl Number {
    /// The value of the parameter `name`.
    pub fn get<T: TryFrom<u64>>(&self, name: &str) -> PyResult<T> {
        self.0
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| invalid_argument(format!("{name} is negative or above 2^{} - 1", 8 * size_of::<T>())))
    }
}

impl<T: Into<u64>> From<T> for Number {
    fn from(value: T) -> Number {
        Number(Some(value.into()))
    }
}

impl FromPyObject<'_, '_> for Number {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Number> {
        // True is 1 in Python; here it can only be a mistake.
        if object.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err("a bool cannot be interpreted as a number"));
        }
        match object.extract::<u64>() {
            Ok(value) => Ok(Number(Some(value))),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => Ok(Number(None)),
            Err(error) => Err(error),
        }
    }
}

/// A number that may be left out, which is not the same as None.
pub fn given(object: &Bound<'_, PyAny>) -> PyResult<Option<Number>> {
    object.extract().map(Some)
}

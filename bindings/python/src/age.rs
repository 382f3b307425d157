//! How long an upload may be idle: seconds, a `timedelta`, `None`, or left out.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyEllipsis, PyFloat, PyInt};

use crate::error::invalid_argument;

pub enum Age {
    /// Left out: the same as another's.
    Same,
    /// `None`: keep all.
    Keep,
    /// In seconds.
    Seconds(f64),
}

impl Age {
    /// The value of the parameter `name`; `same` if it was left out.
    pub fn get(&self, name: &str, same: Option<Duration>) -> PyResult<Option<Duration>> {
        match *self {
            Age::Same => Ok(same),
            Age::Keep => Ok(None),
            Age::Seconds(seconds) => Duration::try_from_secs_f64(seconds)
                .map(Some)
                .map_err(|_| invalid_argument(format!("{name} must be from 0 to 2^64 - 1 seconds"))),
        }
    }
}

impl FromPyObject<'_, '_> for Age {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Age> {
        if object.is_none() {
            return Ok(Age::Keep);
        }
        if object.is_instance_of::<PyEllipsis>() {
            return Ok(Age::Same);
        }
        if object.is_instance_of::<PyDelta>() {
            return object.call_method0("total_seconds")?.extract().map(Age::Seconds);
        }
        // True is 1 in Python; here it can only be a mistake.
        if object.is_instance_of::<PyBool>()
            || !(object.is_instance_of::<PyFloat>() || object.is_instance_of::<PyInt>())
        {
            return Err(PyTypeError::new_err("an age is a number of seconds, a timedelta, or None"));
        }
        // An int may be larger than any float.
        Ok(Age::Seconds(object.extract().unwrap_or(f64::INFINITY)))
    }
}

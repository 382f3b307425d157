//! From the engine's answers to the classes of `chunked_upload.results`.

use std::ops::Range;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::{PyRange, PyTuple};

use crate::error::{exception, guard};

pub type Answer<'py> = PyResult<Bound<'py, PyAny>>;

fn make<'py>(py: Python<'py>, class: &str, arguments: impl pyo3::call::PyCallArgs<'py>) -> Answer<'py> {
    py.import("chunked_upload.results")?.getattr(class)?.call1(arguments)
}

pub fn receipt<'py>(py: Python<'py>, receipt: &engine::Receipt) -> Answer<'py> {
    make(py, "Receipt", (receipt.upload_uid.as_str(), receipt.received_all))
}

pub fn finished(py: Python<'_>, file: engine::Finished) -> Answer<'_> {
    let path = file.path.into_os_string();
    make(py, "Finished", (file.uid.as_str(), path, file.file_name, file.total_size, file.crc32c))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A tuple of Python's ranges.
fn ranges<'py>(py: Python<'py>, ranges: &[Range<u64>]) -> PyResult<Bound<'py, PyTuple>> {
    // Chunk numbers are below 2^63.
    let number = |number: u64| number as isize;
    let ranges = ranges.iter().map(|range| PyRange::new(py, number(range.start), number(range.end)));
    PyTuple::new(py, ranges.collect::<PyResult<Vec<_>>>()?)
}

pub fn inspection<'py>(py: Python<'py>, seen: &engine::Inspection) -> Answer<'py> {
    let arguments = (
        seen.uid.as_str(),
        seen.file_name.as_str(),
        seen.total_size,
        seen.chunk_count,
        seen.received_size,
        seen.received_count,
        seen.phase.name(),
        seconds(seen.last_activity),
        ranges(py, &seen.missing)?,
        seen.next_chunk,
    );
    make(py, "Inspection", arguments)
}

pub fn verification<'py>(py: Python<'py>, found: &engine::Verification) -> Answer<'py> {
    let damaged = ranges(py, &found.damaged)?;
    make(py, "Verification", (found.phase.name(), found.checked_count, found.damaged_count, damaged))
}

pub fn cleaned<'py>(py: Python<'py>, cleaned: &engine::Cleaned) -> Answer<'py> {
    let removed =
        |removed: &engine::Removed| make(py, "Removed", (removed.uid.as_str(), removed.phase.map(engine::Phase::name)));
    let removed = cleaned.removed.iter().map(removed).collect::<PyResult<Vec<_>>>()?;
    make(py, "Cleaned", (PyTuple::new(py, removed)?, cleaned.failed_count, cleaned.more))
}

fn listed<'py>(py: Python<'py>, listed: &engine::Listed) -> Answer<'py> {
    let arguments = (
        listed.uid.as_str(),
        listed.file_name.as_str(),
        listed.total_size,
        listed.chunk_count,
        listed.phase.name(),
        seconds(listed.last_activity),
    );
    make(py, "Listed", arguments)
}

/// The iterator that Store.list returns: the uploads of a store, each read when it is asked for.
#[pyclass(frozen, module = "chunked_upload")]
pub struct UploadIterator(Mutex<engine::List>);

impl UploadIterator {
    pub fn new(list: engine::List) -> UploadIterator {
        UploadIterator(Mutex::new(list))
    }
}

#[pymethods]
impl UploadIterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        guard(|| {
            // A list stays usable if a panic happened while it was locked.
            let next = py.detach(|| self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next());
            next.transpose().map_err(exception)?.map(|found| listed(py, &found)).transpose()
        })
    }
}

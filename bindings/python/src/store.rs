//! The class `Store`.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use engine::{Chunk, Durability, Options};
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::content::Content;
use crate::error::{exception, guard, invalid_argument};
use crate::numbers::Number;
use crate::results::{Receipt, Upload};
use crate::text::Text;

/// A directory in which files are received in numbered chunks.
///
/// Opening creates nothing: the directory's last component is made by the first upload. A store is a path and options,
/// nothing more: any thread, process or forked child may handle any chunk of any upload, with its own Store or with
/// one made before the fork. Immutable, compares by value, can be pickled.
///
/// Parameters
/// ----------
/// root : str or os.PathLike
///     The directory; made by the first chunk, in a parent that must exist by then. Network file systems are refused.
/// max_total_size : int, bytes, default 0
///     The largest total_size of a new upload; 0 means no limit.
/// max_chunk_count : int, default 1,000,000
///     The largest chunk_count of a new upload; 0 means no limit. A chunk takes 32 bytes on disk beside its content.
/// min_free_space : int, bytes, default 16 MiB
///     What must stay free on the file system after a new upload's declared size.
/// durability : "process", "complete" or "chunk", default "process"
///     What survives. "process": every acknowledged chunk survives the death of every process, at any instant.
///     "complete": also, the finished file survives power loss once get returned. "chunk": also, every acknowledged
///     chunk survives power loss. At every level get answers only the right bytes.
/// prefix : str, default ""
///     What stands before the uid in the names of the uploads' directories: up to 64 bytes, no "/".
/// dir_mode, file_mode : int, default 0o700 and 0o600
///     Permissions, whatever the umask; at least the defaults' bits.
///
/// Raises InvalidArgument for a value no store can work with, Io for a network file system. Whether uploads can be made
/// in the directory, the first chunk tells.
#[pyclass(frozen, module = "chunked_upload")]
pub struct Store(engine::Store);

#[pymethods]
impl Store {
    #[new]
    #[pyo3(
        signature = (
            root, *,
            max_total_size = Number::from(Options::default().max_total_size),
            max_chunk_count = Number::from(Options::default().max_chunk_count),
            min_free_space = Number::from(Options::default().min_free_space),
            durability = Text::Default(Options::default().durability.name()),
            prefix = Text::Default(""),
            dir_mode = Number::from(Options::default().dir_mode),
            file_mode = Number::from(Options::default().file_mode),
        ),
        text_signature = "(root, *, max_total_size=0, max_chunk_count=1000000, min_free_space=16777216, \
                          durability='process', prefix='', dir_mode=0o700, file_mode=0o600)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn new(
        py: Python<'_>,
        root: &Bound<'_, PyAny>,
        max_total_size: Number,
        max_chunk_count: Number,
        min_free_space: Number,
        durability: Text,
        prefix: Text,
        dir_mode: Number,
        file_mode: Number,
    ) -> PyResult<Store> {
        guard(|| {
            let root = path(root)?;
            let durability = durability.unicode("durability")?;
            let options = Options {
                max_total_size: max_total_size.get("max_total_size")?,
                max_chunk_count: max_chunk_count.get("max_chunk_count")?,
                min_free_space: min_free_space.get("min_free_space")?,
                durability: Durability::from_name(durability)
                    .ok_or_else(|| invalid_argument("durability is none of process, complete, chunk".into()))?,
                prefix: prefix.unicode("prefix")?.to_owned(),
                dir_mode: dir_mode.get("dir_mode")?,
                file_mode: file_mode.get("file_mode")?,
                ..Options::default()
            };
            py.detach(|| engine::Store::open(root, options)).map(Store).map_err(exception)
        })
    }

    /// Receive one chunk. Chunks come in any order, from several threads, processes and connections at once, and more
    /// than once.
    ///
    /// Parameters
    /// ----------
    /// content : bytes-like
    ///     The chunk's bytes; may be empty. bytes (and a memoryview of bytes) are read in place, anything else with a
    ///     contiguous buffer is copied first.
    /// upload_uid : str or None
    ///     Empty or None starts an upload; later chunks carry what the first one's receipt says.
    /// file_name : str or None
    ///     The client's name for the file: kept as metadata, never used in a path. The first chunk's stands, later ones
    ///     may leave it out. At most 4,096 bytes of UTF-8, no NUL.
    /// total_size : int, bytes, 0 to 2^63 - 1
    ///     Size of the whole file. The same in each chunk of an upload.
    /// chunk_number : int, from 0, below chunk_count
    ///     Which chunk this is.
    /// chunk_count : int, 1 to 2^63 - 1
    ///     How many chunks there are. The same in each chunk of an upload.
    ///
    /// Returns a Receipt: the chunk is stored, and stays stored if every process dies now.
    ///
    /// Raises InvalidArgument (the request contradicts itself), LimitExceeded, NotFound (no such upload, or no uid at
    /// all), Conflict (other total_size or chunk_count than the first chunk's; other bytes for a complete upload),
    /// Gone (the file was taken away), NoSpace (the upload can be resumed), Io, Internal. A refused chunk stores
    /// nothing. Other bytes for a chunk of an upload that is not complete replace it; should that fail with NoSpace or
    /// Io, the chunk may be missing afterwards.
    ///
    /// Blocks for as long as the disk takes, without the GIL; cannot be interrupted. In asyncio:
    /// await asyncio.to_thread(store.handle_chunk, content, ...).
    #[pyo3(
        signature = (
            content, *, upload_uid = Some(Text::Default("")), file_name = None, total_size, chunk_number, chunk_count
        ),
        text_signature = "($self, content, *, upload_uid='', file_name=None, total_size, chunk_number, chunk_count)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn handle_chunk(
        &self,
        py: Python<'_>,
        content: Content,
        upload_uid: Option<Text>,
        file_name: Option<Text>,
        total_size: Number,
        chunk_number: Number,
        chunk_count: Number,
    ) -> PyResult<Receipt> {
        guard(|| {
            let chunk = Chunk {
                // A replaced surrogate is no hexadecimal digit: the engine finds such a uid malformed.
                upload_uid: upload_uid.as_ref().map_or("", Text::replaced),
                file_name: file_name.as_ref().map_or(Ok(""), |text| text.unicode("file_name"))?,
                total_size: total_size.get("total_size")?,
                chunk_number: chunk_number.get("chunk_number")?,
                chunk_count: chunk_count.get("chunk_count")?,
                content: content.as_slice(),
                ..Chunk::default()
            };
            py.detach(|| self.0.handle_chunk(&chunk)).map(Receipt::from).map_err(exception)
        })
    }

    /// The finished file of an upload. May be asked again, and by several processes at once: each gets the same path.
    ///
    /// Parameters
    /// ----------
    /// uid : str
    ///     What the receipts said.
    ///
    /// Returns an Upload. Its file is yours: read it, rename it to where you want it, or remove it.
    ///
    /// Raises Incomplete (chunks are missing: missing_count, first_missing), SizeMismatch (all are there, but do not
    /// add up to total_size; sending the wrong ones again repairs it), NotFound, Gone (the file was taken away),
    /// NoSpace, Io, Internal.
    ///
    /// Usually takes microseconds to milliseconds, whatever the file's size. After a reboot, or for chunks that were
    /// uneven and out of order, it reads the file once. Without the GIL; cannot be interrupted, but a get that was
    /// killed half-way continues where it stopped.
    fn get(&self, py: Python<'_>, uid: Text) -> PyResult<Upload> {
        guard(|| py.detach(|| self.0.get(uid.replaced())).map(Upload::from).map_err(exception))
    }

    /// str: the directory, absolute.
    #[getter]
    fn root(&self) -> OsString {
        self.0.root().as_os_str().to_owned()
    }

    /// int: the largest total_size of a new upload, in bytes; 0 means no limit.
    #[getter]
    fn max_total_size(&self) -> u64 {
        self.0.options().max_total_size
    }

    /// int: the largest chunk_count of a new upload; 0 means no limit.
    #[getter]
    fn max_chunk_count(&self) -> u64 {
        self.0.options().max_chunk_count
    }

    /// int: bytes that must stay free after a new upload's declared size.
    #[getter]
    fn min_free_space(&self) -> u64 {
        self.0.options().min_free_space
    }

    /// str: "process", "complete" or "chunk".
    #[getter]
    fn durability(&self) -> &'static str {
        self.0.options().durability.name()
    }

    /// str: what stands before the uid in directory names.
    #[getter]
    fn prefix(&self) -> &str {
        &self.0.options().prefix
    }

    /// int: permissions of directories.
    #[getter]
    fn dir_mode(&self) -> u32 {
        self.0.options().dir_mode
    }

    /// int: permissions of files.
    #[getter]
    fn file_mode(&self) -> u32 {
        self.0.options().file_mode
    }

    fn __eq__(&self, other: &Store) -> bool {
        self.0.root() == other.0.root() && self.0.options() == other.0.options()
    }

    fn __hash__(&self) -> u64 {
        // Stores that differ in nothing but options are rare, and may share a hash.
        let mut hasher = DefaultHasher::new();
        self.0.root().hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let options = slf.get().option_dict(py)?;
        let mut text = format!("Store({}", slf.get().root().into_pyobject(py)?.repr()?);
        for (name, value) in options {
            text += &match value.extract::<u32>() {
                Ok(mode) if name.to_string().ends_with("_mode") => format!(", {name}={mode:#o}"),
                _ => format!(", {name}={}", value.repr()?),
            };
        }
        Ok(text + ")")
    }

    #[allow(clippy::type_complexity)] // copyreg.__newobj_ex__, class, arguments: as pickle wants them
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyType>, (OsString,), Bound<'py, PyDict>))> {
        let construct = slf.py().import("copyreg")?.getattr("__newobj_ex__")?;
        Ok((construct, (slf.get_type(), (slf.get().root(),), slf.get().option_dict(slf.py())?)))
    }
}

impl Store {
    /// The keyword arguments that make this store again.
    fn option_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let options = PyDict::new(py);
        options.set_item("max_total_size", self.max_total_size())?;
        options.set_item("max_chunk_count", self.max_chunk_count())?;
        options.set_item("min_free_space", self.min_free_space())?;
        options.set_item("durability", self.durability())?;
        options.set_item("prefix", self.prefix())?;
        options.set_item("dir_mode", self.dir_mode())?;
        options.set_item("file_mode", self.file_mode())?;
        Ok(options)
    }
}

/// A str or os.PathLike. A str that no path can be made of is a wrong value, not a wrong type.
fn path(object: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let path: PathBuf = object.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyUnicodeEncodeError>(object.py()) {
            return invalid_argument("root holds a lone surrogate".into());
        }
        error
    })?;
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(invalid_argument("root holds a NUL".into()));
    }
    Ok(path)
}

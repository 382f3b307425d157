//! The class `Store`.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};

use engine::{Chunk, Durability, Expiry, Options};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

use crate::age::Age;
use crate::answers::{self, Answer, UploadIterator};
use crate::content::{Content, Key, Owner};
use crate::error::{exception, guard, invalid_argument};
use crate::numbers::{Number, given};
use crate::text::{Text, path};

/// A directory that receives files in numbered chunks.
///
/// Opening creates nothing: the first upload makes the directory's last component. A store is a path and
/// options: any thread, process or forked child may handle any chunk of any upload, with its own Store or
/// with one made before the fork. A Store is immutable, compares by value, and can be pickled.
///
/// Args:
///     root: The directory, a str or os.PathLike. The first chunk makes it, in a parent that must exist by
///         then. Symbolic links are resolved now. A link that is later put in the place of the directory is
///         refused with Io. These are refused with Io, too: network file systems; file systems without a
///         journal (ext2, ext4 made without one) at the levels above "process"; and a directory that
///         another user could exchange. Another user could exchange it if all users may write into it and
///         it is not sticky, or if another user made it below a directory like /tmp.
///     max_total_size: The largest total_size of a new upload, in bytes; 0 means no limit.
///     max_chunk_count: The largest chunk_count of a new upload; 0 means no limit. A chunk takes 32 bytes
///         on disk besides its content.
///     min_free_space: How many bytes must stay free on the file system after a new upload's declared size.
///         The default is 16 MiB.
///     max_store_size: The most bytes that all uploads together may take on disk; 0 means no limit. An
///         upload counts until its file is taken, with its declared size, its table of chunks, and 4 KiB
///         for its directory. All programs that use a store should give the same limit. A file that was
///         taken without a call makes room at most a second later. Chunks of wrong sizes can make an upload
///         take three times its size on disk, and four times during get: against hostile clients set the
///         limit to a quarter of the room.
///     max_uploads: The most uploads in the store, of all owners together; 0 means no limit. An upload
///         counts until its file is taken.
///     durability: What survives. "process": every acknowledged chunk survives the death of every process,
///         at any instant. "complete": also, the finished file survives power loss after get has returned.
///         "chunk": also, every acknowledged chunk survives power loss. At every level get answers only the
///         right bytes.
///     prefix: What precedes the uid in the names of the uploads' directories: up to 64 bytes, no "/".
///     dir_mode: Permissions of directories, whatever the umask; at least the bits of the default.
///     file_mode: Permissions of files, likewise.
///     all_owners: Whether this store sees the uploads of every owner, as an administrator's tool does.
///     owner: The owner of this store's uploads, in bytes; see for_owner.
///
/// Raises:
///     InvalidArgument: A value that no store can work with.
///     Io: A file system or a directory that is refused, see root. If uploads cannot be made in the
///         directory, the first chunk reports it.
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
            max_store_size = Number::from(Options::default().max_store_size),
            max_uploads = Number::from(Options::default().max_uploads),
            durability = Text::Default(Options::default().durability.name()),
            prefix = Text::Default(""),
            dir_mode = Number::from(Options::default().dir_mode),
            file_mode = Number::from(Options::default().file_mode),
            all_owners = false,
            owner = None,
        ),
        text_signature = "(root, *, max_total_size=0, max_chunk_count=1000000, min_free_space=16777216, \
                          max_store_size=0, max_uploads=0, durability='process', prefix='', dir_mode=0o700, \
                          file_mode=0o600, all_owners=False, owner=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn new(
        py: Python<'_>,
        root: &Bound<'_, PyAny>,
        max_total_size: Number,
        max_chunk_count: Number,
        min_free_space: Number,
        max_store_size: Number,
        max_uploads: Number,
        durability: Text,
        prefix: Text,
        dir_mode: Number,
        file_mode: Number,
        all_owners: bool,
        owner: Option<Owner>,
    ) -> PyResult<Store> {
        guard(|| {
            let root = path("root", root)?;
            let durability = durability.unicode("durability")?;
            let options = Options {
                max_total_size: max_total_size.get("max_total_size")?,
                max_chunk_count: max_chunk_count.get("max_chunk_count")?,
                min_free_space: min_free_space.get("min_free_space")?,
                durability: Durability::from_name(durability)
                    .ok_or_else(|| invalid_argument("durability must be process, complete or chunk".into()))?,
                prefix: prefix.unicode("prefix")?.to_owned(),
                dir_mode: dir_mode.get("dir_mode")?,
                file_mode: file_mode.get("file_mode")?,
                max_store_size: max_store_size.get("max_store_size")?,
                max_uploads: max_uploads.get("max_uploads")?,
                all_owners,
            };
            if all_owners && owner.is_some() {
                return Err(invalid_argument("owner and all_owners exclude each other".into()));
            }
            let store = py.detach(|| engine::Store::open(root, options)).map_err(exception)?;
            match owner {
                Some(owner) => store.for_owner(owner.as_slice()).map(Store).map_err(exception),
                None => Ok(Store(store)),
            }
        })
    }

    /// Receive one chunk.
    ///
    /// Chunks may come in any order, repeatedly, and from several threads, processes and connections at once.
    ///
    /// Args:
    ///     content: The chunk's bytes, which may be empty. bytes (and a memoryview of bytes) are read in place;
    ///         any other contiguous buffer is copied first.
    ///     upload_uid: Empty or None starts an upload. Later chunks carry the upload_uid of the first one's
    ///         receipt.
    ///     file_name: The client's name for the file: kept as metadata, never used in a path. The name that
    ///         comes with the first chunk stays; later chunks may leave it out. At most 4,096 bytes of UTF-8,
    ///         no NUL.
    ///     total_size: The size of the whole file in bytes, 0 to 2^63 - 1. The same in each chunk of an upload.
    ///     chunk_number: The number of this chunk, from 0, below chunk_count.
    ///     chunk_count: How many chunks there are, 1 to 2^63 - 1. The same in each chunk of an upload.
    ///     upload_key: A name for the upload that the client made, a str or bytes, in place of an upload_uid:
    ///         all chunks with the same key join one upload, in any order and however often they are sent. Up
    ///         to 256 bytes. Without an owner of the store, a key needs at least 16 unguessable bytes. Ignored
    ///         if there is an upload_uid.
    ///     checksum: Checksums of content, written as in the header field Content-Digest (RFC 9530):
    ///         "crc32c=:...:" or "sha-256=:...:", base64 between the colons, or both with a comma.
    ///     file_digest: A checksum of the whole file in the same form, as in Repr-Digest. It is compared when
    ///         the upload is completed. The digest that comes with the first chunk stays; later chunks may
    ///         leave it out or repeat it.
    ///
    /// Returns:
    ///     A Receipt. The chunk is stored, and stays stored if every process dies now.
    ///
    /// Raises:
    ///     InvalidArgument: The request contradicts itself.
    ///     LimitExceeded: A limit of the store, or the chunks of this upload are too large together.
    ///     NotFound: The upload_uid is unknown, malformed, or of an upload of another owner.
    ///     Conflict: Another total_size, chunk_count or file_digest than the first chunk's, or other bytes for
    ///         a complete upload.
    ///     ChecksumMismatch: The content does not have its checksum.
    ///     Gone: The file was taken away.
    ///     NoSpace: The disk is full. The upload can be resumed.
    ///     Io: The operating system refused.
    ///     Internal: A defect of this library.
    ///
    /// A refused chunk stores nothing. Other bytes for a chunk of an upload that is not complete replace the
    /// earlier ones; if that fails with NoSpace or Io, the chunk may be missing afterwards.
    ///
    /// Blocks for as long as the disk takes, without the GIL; cannot be interrupted. In asyncio: await
    /// asyncio.to_thread(store.handle_chunk, content, ...).
    #[pyo3(
        signature = (
            content, *, upload_uid = Some(Text::Default("")), file_name = None, total_size, chunk_number, chunk_count,
            upload_key = None, checksum = None, file_digest = None
        ),
        text_signature = "($self, content, *, upload_uid='', file_name=None, total_size, chunk_number, chunk_count, \
                          upload_key=None, checksum=None, file_digest=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn handle_chunk<'py>(
        &self,
        py: Python<'py>,
        content: Content,
        upload_uid: Option<Text>,
        file_name: Option<Text>,
        total_size: Number,
        chunk_number: Number,
        chunk_count: Number,
        upload_key: Option<Key>,
        checksum: Option<Text>,
        file_digest: Option<Text>,
    ) -> Answer<'py> {
        guard(|| {
            let unicode = |text: &'_ Option<Text>, name| {
                text.as_ref().map_or(Ok(""), |text| text.unicode(name)).map(str::to_owned)
            };
            let (checksum, file_digest) = (unicode(&checksum, "checksum")?, unicode(&file_digest, "file_digest")?);
            let chunk = Chunk {
                // A replaced surrogate is no hexadecimal digit: the engine finds such a uid malformed.
                upload_uid: upload_uid.as_ref().map_or("", Text::replaced),
                file_name: file_name.as_ref().map_or(Ok(""), |text| text.unicode("file_name"))?,
                total_size: total_size.get("total_size")?,
                chunk_number: chunk_number.get("chunk_number")?,
                chunk_count: chunk_count.get("chunk_count")?,
                content: content.as_slice(),
                upload_key: upload_key.as_ref().map_or(Ok(&[][..]), Key::get)?,
                checksum: &checksum,
                file_digest: &file_digest,
            };
            let receipt = py.detach(|| self.0.handle_chunk(&chunk)).map_err(exception)?;
            answers::receipt(py, &receipt)
        })
    }

    /// Return the finished file of an upload; complete the upload first if necessary.
    ///
    /// The call may be repeated, by several processes at once: each gets the same path.
    ///
    /// Args:
    ///     uid: The upload_uid of the receipts.
    ///
    /// Returns:
    ///     A Finished. Its file is yours: read it, rename it to where you want it, or remove it.
    ///
    /// Raises:
    ///     Incomplete: Chunks are missing: missing_count, first_missing.
    ///     SizeMismatch: All chunks are there, but their sizes do not add up to total_size. Sending the wrong
    ///         ones again repairs it.
    ///     ChecksumMismatch: The file does not have the file_digest that was declared. Sending chunks again can
    ///         repair it.
    ///     NotFound: There is no such upload.
    ///     Gone: The file was taken away.
    ///     NoSpace: The disk is full.
    ///     Io: The operating system refused.
    ///     Internal: A defect of this library.
    ///
    /// Usually takes microseconds to milliseconds, whatever the file's size. After a reboot, or if chunks of
    /// uneven sizes came out of order, it reads the file once. Runs without the GIL; cannot be interrupted. If
    /// a get is killed, the next one continues where it stopped.
    fn get<'py>(&self, py: Python<'py>, uid: Text) -> Answer<'py> {
        guard(|| {
            let file = py.detach(|| self.0.get(uid.replaced())).map_err(exception)?;
            answers::finished(py, file)
        })
    }

    /// Return a view of this store that is bound to an owner.
    ///
    /// Uploads that are made through it are NotFound through every other store, as if they did not exist. All
    /// other uploads are NotFound through it. The disk holds only a keyed digest of the owner.
    ///
    /// Args:
    ///     owner: 1 to 1,024 bytes that identify the caller, for example a user's id.
    ///
    /// Returns:
    ///     A Store with the same root and options.
    ///
    /// Raises:
    ///     InvalidArgument: No bytes, or too many.
    fn for_owner(&self, owner: Owner) -> PyResult<Store> {
        guard(|| self.0.for_owner(owner.as_slice()).map(Store).map_err(exception))
    }

    /// Return the uid of the upload that this upload_key names in this store, whether it was made or not.
    ///
    /// Makes no upload. The first use of a key makes the store's directory and its secret, if they do not
    /// exist.
    ///
    /// Args:
    ///     upload_key: As in handle_chunk.
    ///
    /// Returns:
    ///     The uid.
    ///
    /// Raises:
    ///     InvalidArgument: The key is empty, too long, or too short for a store without an owner.
    ///     NoSpace: The disk is full.
    ///     Io: The operating system refused.
    fn uid_for_key(&self, py: Python<'_>, upload_key: Key) -> PyResult<String> {
        guard(|| {
            let key = upload_key.get()?;
            py.detach(|| self.0.uid_for_key(key)).map(|uid| uid.to_string()).map_err(exception)
        })
    }

    /// Return what is known of an upload: all that a client needs to continue after a break.
    ///
    /// Takes no lock, changes nothing.
    ///
    /// Args:
    ///     uid: The upload_uid of the receipts.
    ///     from_chunk: The lowest chunk number whose absence is reported.
    ///
    /// Returns:
    ///     An Inspection. If more than 1,000 ranges of chunks are missing, its next_chunk is the from_chunk of
    ///     the next call. An upload whose file was taken is no error here: its phase is "gone".
    ///
    /// Raises:
    ///     InvalidArgument: A negative number, or a too large one.
    ///     NotFound: There is no such upload.
    ///     Io: The operating system refused.
    #[pyo3(signature = (uid, from_chunk = Number::from(0_u32)), text_signature = "($self, uid, from_chunk=0)")]
    fn inspect<'py>(&self, py: Python<'py>, uid: Text, from_chunk: Number) -> Answer<'py> {
        guard(|| {
            let from_chunk = from_chunk.get("from_chunk")?;
            let seen = py.detach(|| self.0.inspect(uid.replaced(), from_chunk)).map_err(exception)?;
            answers::inspection(py, &seen)
        })
    }

    /// Read the stored bytes of an upload, and compare them with the checksums taken at their arrival.
    ///
    /// Damaged chunks of an unfinished upload are missing afterwards, so that they can be sent again. Damaged
    /// chunks of a finished file are only reported.
    ///
    /// Args:
    ///     uid: The upload_uid of the receipts.
    ///
    /// Returns:
    ///     A Verification.
    ///
    /// Raises:
    ///     NotFound: There is no such upload.
    ///     Gone: The file was taken away.
    ///     Io: The operating system refused.
    fn verify<'py>(&self, py: Python<'py>, uid: Text) -> Answer<'py> {
        guard(|| {
            let found = py.detach(|| self.0.verify(uid.replaced())).map_err(exception)?;
            answers::verification(py, &found)
        })
    }

    /// Put the finished file at its permanent place; complete the upload first if necessary.
    ///
    /// Afterwards the upload is Gone.
    ///
    /// A rename where that is possible. Otherwise a copy, which appears when it is whole, and which a repeated
    /// call continues. The call may be repeated after a crash: the same destination succeeds again while the
    /// file is there and has its size. Of several callers with different destinations one succeeds. A copy that
    /// was begun at another destination is removed. If it cannot be removed, the call succeeds, and a file
    /// .upload-*.part stays there.
    ///
    /// Args:
    ///     uid: The upload_uid of the receipts.
    ///     destination: A path with a file name, a str or os.PathLike. A relative one starts at the working
    ///         directory.
    ///     overwrite: Whether to replace a file that is there.
    ///
    /// Returns:
    ///     A Finished whose path is the destination.
    ///
    /// Raises:
    ///     InvalidArgument: The destination has no file name, or lies in the store.
    ///     Gone: The file was moved elsewhere, or taken.
    ///     Io: The operating system refused; errno is EEXIST if something is at the destination.
    ///     Error: Any error that get raises.
    #[pyo3(signature = (uid, destination, *, overwrite = false))]
    fn move_to<'py>(&self, py: Python<'py>, uid: Text, destination: &Bound<'_, PyAny>, overwrite: bool) -> Answer<'py> {
        guard(|| {
            let destination = path("destination", destination)?;
            let file = py.detach(|| self.0.move_to(uid.replaced(), destination, overwrite)).map_err(exception)?;
            answers::finished(py, file)
        })
    }

    /// Remove an upload with all its files, in whatever phase it is.
    ///
    /// Waits for calls that are working on it.
    ///
    /// Args:
    ///     uid: The upload_uid of the receipts.
    ///
    /// Raises:
    ///     NotFound: There is no such upload.
    ///     Io: The operating system refused. If the error names a file .upload-*.part, the upload was removed,
    ///         but this file stays: a copy to another file system that move_to had begun.
    fn remove(&self, py: Python<'_>, uid: Text) -> PyResult<()> {
        guard(|| py.detach(|| self.0.remove(uid.replaced())).map_err(exception))
    }

    /// Remove uploads without activity for some time, and what crashes left. What has no age is kept.
    ///
    /// So cleanup() removes nothing. Never removes an upload that a call is working on, in any process.
    /// Nothing expires by itself. A cleanup sees what this store sees: to clean up the uploads of all owners,
    /// open the store with all_owners.
    ///
    /// Args:
    ///     older_than: Remove uploads that were idle for this long: seconds, a datetime.timedelta, or None, which
    ///         keeps them. 0 removes all. The three ages below replace it for some uploads.
    ///     unfinished: The age for uploads that are not finished, and for what crashes left.
    ///     finished: The age for finished uploads whose file was not taken.
    ///     gone: The age for the records of uploads whose file was taken. While such a record is there, a late
    ///         chunk is refused with Gone.
    ///     max_removals: The most uploads to remove in this call.
    ///     dry_run: Whether to only tell what would be removed.
    ///     limit: The old name of max_removals.
    ///
    /// Returns:
    ///     Cleaned. Uploads that could not be removed are counted there.
    ///
    /// Raises:
    ///     InvalidArgument: A negative age or number, or a too large one.
    ///     Io: The store cannot be read.
    #[pyo3(
        signature = (
            older_than = Age::Keep, *, unfinished = Age::Same, finished = Age::Same, gone = Age::Same,
            max_removals = None, dry_run = false, limit = None
        ),
        text_signature = "($self, older_than=None, *, unfinished=..., finished=..., gone=..., max_removals=1000, \
                          dry_run=False, limit=...)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn cleanup<'py>(
        &self,
        py: Python<'py>,
        older_than: Age,
        unfinished: Age,
        finished: Age,
        gone: Age,
        #[pyo3(from_py_with = given)] max_removals: Option<Number>,
        dry_run: bool,
        #[pyo3(from_py_with = given)] limit: Option<Number>,
    ) -> Answer<'py> {
        guard(|| {
            if let Age::Same = older_than {
                return Err(PyTypeError::new_err("older_than is a number of seconds, a timedelta, or None"));
            }
            let older_than = older_than.get("older_than", None)?;
            let expiry = Expiry {
                unfinished: unfinished.get("unfinished", older_than)?,
                finished: finished.get("finished", older_than)?,
                gone: gone.get("gone", older_than)?,
                max_removals: match (max_removals, limit) {
                    (Some(_), Some(_)) => {
                        return Err(PyTypeError::new_err("limit is the old name of max_removals: give one of the two"));
                    }
                    (Some(number), None) => number.get("max_removals")?,
                    (None, Some(number)) => number.get("limit")?,
                    (None, None) => Expiry::default().max_removals,
                },
                dry_run,
            };
            let cleaned = py.detach(|| self.0.cleanup(&expiry)).map_err(exception)?;
            answers::cleaned(py, &cleaned)
        })
    }

    /// Iterate over the uploads in the store, in no particular order; each is read when it is asked for.
    ///
    /// What is not an upload is skipped. A store that does not exist yet is empty.
    ///
    /// Returns:
    ///     An iterator that yields a Listed for each upload.
    ///
    /// Raises:
    ///     Io: The store cannot be read. For an upload that cannot be read the iterator raises Io, and next()
    ///         then continues with the following upload.
    fn list(&self, py: Python<'_>) -> PyResult<UploadIterator> {
        guard(|| py.detach(|| self.0.list()).map(UploadIterator::new).map_err(exception))
    }

    /// The owner that this store is bound to, or None.
    #[getter]
    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.owner().map(|owner| PyBytes::new(py, owner))
    }

    /// The most bytes that all uploads together may take on disk; 0 means no limit.
    #[getter]
    fn max_store_size(&self) -> u64 {
        self.0.options().max_store_size
    }

    /// The most uploads in the store; 0 means no limit.
    #[getter]
    fn max_uploads(&self) -> u64 {
        self.0.options().max_uploads
    }

    /// Whether this store sees the uploads of every owner.
    #[getter]
    fn all_owners(&self) -> bool {
        self.0.options().all_owners
    }

    /// The directory, as an absolute path.
    #[getter]
    fn root(&self) -> OsString {
        self.0.root().as_os_str().to_owned()
    }

    /// The largest total_size of a new upload, in bytes; 0 means no limit.
    #[getter]
    fn max_total_size(&self) -> u64 {
        self.0.options().max_total_size
    }

    /// The largest chunk_count of a new upload; 0 means no limit.
    #[getter]
    fn max_chunk_count(&self) -> u64 {
        self.0.options().max_chunk_count
    }

    /// How many bytes must stay free after a new upload's declared size.
    #[getter]
    fn min_free_space(&self) -> u64 {
        self.0.options().min_free_space
    }

    /// What survives: "process", "complete" or "chunk".
    #[getter]
    fn durability(&self) -> &'static str {
        self.0.options().durability.name()
    }

    /// What precedes the uid in the names of directories.
    #[getter]
    fn prefix(&self) -> &str {
        &self.0.options().prefix
    }

    /// Permissions of directories.
    #[getter]
    fn dir_mode(&self) -> u32 {
        self.0.options().dir_mode
    }

    /// Permissions of files.
    #[getter]
    fn file_mode(&self) -> u32 {
        self.0.options().file_mode
    }

    fn __eq__(&self, other: &Store) -> bool {
        let facts = |store: &Store| {
            (store.0.root().to_owned(), store.0.options().clone(), store.0.owner().map(<[u8]>::to_owned))
        };
        facts(self) == facts(other)
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
            // An owner may be as private as the uploads.
            if name.to_string() == "owner" {
                text += ", owner=…";
                continue;
            }
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
        options.set_item("max_store_size", self.max_store_size())?;
        options.set_item("max_uploads", self.max_uploads())?;
        options.set_item("all_owners", self.all_owners())?;
        options.set_item("durability", self.durability())?;
        options.set_item("prefix", self.prefix())?;
        options.set_item("dir_mode", self.dir_mode())?;
        options.set_item("file_mode", self.file_mode())?;
        if let Some(owner) = self.owner(py) {
            options.set_item("owner", owner)?;
        }
        Ok(options)
    }
}

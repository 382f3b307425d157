//! The store's sum: the number of all uploads until their files are taken, and the bytes that they take on disk.
//!
//! The sum is in the file `promised`, and each `state` says whether its upload is in the sum. Both are changed only
//! under the lock on the store's directory. An upload is added to the sum before its mark is set, and subtracted after
//! the mark is cleared. So wherever a process dies, the sum is too high, never too low. All uploads are counted again
//! if the sum is missing, is of another boot or volume, or would refuse an upload. In the last case this happens at
//! most once a second: a count of many uploads takes long, and other first chunks wait.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::api::error::{Error, Result, errno};
use crate::api::options::{Options, within};
use crate::local::calls::entries::Entries;
use crate::local::files::directory::Directory;
use crate::local::files::test_hooks;
use crate::local::home::Home;
use crate::local::upload::opened::Upload;
use crate::rules::crc::crc32c;
use crate::rules::format::bytes::{u32_at, u64_at};
use crate::rules::format::layout::COUNTED_AT;
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::tag::{Tag, Trust};
use crate::rules::verdict::Verdict;

/// Room for a new upload. While it exists, it holds the store's lock. Dropping it subtracts the room again, unless it
/// is kept.
pub(crate) struct Promise {
    sum: Sum,
    root: Directory,
    /// The sum before the upload was added. `None` until then: nothing is written back.
    before: Option<Total>,
    kept: bool,
}

/// For how long a count may refuse uploads without another count.
const COUNT_STANDS: Duration = Duration::from_secs(1);

/// The sum over all uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Total {
    bytes: u64,
    uploads: u64,
    /// The time of the last count, in milliseconds since 1970.
    counted_at: u64,
}

impl Total {
    /// The sum with one more upload, if the store's limits allow that.
    fn with(self, size: u64, options: &Options) -> Result<Total> {
        let more = Total { bytes: self.bytes.saturating_add(size), uploads: self.uploads.saturating_add(1), ..self };
        let limits = [
            ("max_store_size", options.max_store_size, more.bytes),
            ("max_uploads", options.max_uploads, more.uploads),
        ];
        within(&limits).map(|()| more)
    }

    fn without(self, size: u64) -> Total {
        Total { bytes: self.bytes.saturating_sub(size), uploads: self.uploads.saturating_sub(1), ..self }
    }

    /// A time in the future does not count: the clock was set back.
    fn was_just_counted(&self) -> bool {
        now().checked_sub(self.counted_at).is_some_and(|age| u128::from(age) < COUNT_STANDS.as_millis())
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Promises room for a new upload; `None` if the store has no limit. Next the caller writes a `state` that is marked as
/// counted, and then keeps the promise.
pub(crate) fn promise(home: &Home, size: u64) -> Result<Option<Promise>> {
    let options = home.options();
    if options.max_store_size == 0 && options.max_uploads == 0 {
        return Ok(None);
    }
    let root = open_root(home)?;
    std::mem::forget(root.lock_exclusively()?); // `Promise` unlocks
    let mut promise = Promise { sum: Sum::open(home)?, root, before: None, kept: false };
    let known = promise.sum.read();
    let (before, after) = match known.map(|total| (total, total.with(size, options))) {
        Some((total, after)) if after.is_ok() || total.was_just_counted() => (total, after),
        // The sum is unknown, or too high because files were taken without a call.
        _ => {
            let total = count(home)?;
            promise.sum.write(total)?;
            (total, total.with(size, options))
        }
    };
    let after = after?;
    promise.before = Some(before);
    promise.sum.write(after)?;
    test_hooks::reach("budget:added").map_err(|error| Error::os("budget:added", &promise.sum.path, error))?;
    Ok(Some(promise))
}

impl Promise {
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && !self.kept
        {
            let _ = self.sum.write(before);
        }
        let _ = self.root.handle.unlock();
    }
}

/// Subtracts an upload that was removed or whose file was taken, if it is in the sum. The caller must hold no lock on
/// the upload: the store's lock comes first.
pub(crate) fn release(home: &Home, state: &File, size: u64) -> Result<()> {
    let failed = |error| Error::os("cannot subtract an upload from the sum of", home.root(), error);
    let is_counted = || -> Result<bool> {
        let mut counted = [0];
        state.read_exact_at(&mut counted, COUNTED_AT).map_err(failed)?;
        Ok(counted != [0])
    };
    if !is_counted()? {
        return Ok(());
    }
    let root = open_root(home)?;
    let _exclusive = root.lock_exclusively()?;
    if is_counted()? {
        let sum = Sum::open(home)?;
        state.write_all_at(&[0], COUNTED_AT).map_err(failed)?;
        if let Some(known) = sum.read() {
            sum.write(known.without(size))?;
        }
    }
    Ok(())
}

/// Counts all uploads, and records in each whether it is in the sum. The caller holds the store's lock.
fn count(home: &Home) -> Result<Total> {
    let mut total = Total { bytes: 0, uploads: 0, counted_at: 0 };
    for entry in Entries::of(home)? {
        let entry = entry?;
        let opened = entry.open().and_then(|dir| match dir {
            Some(dir) => Upload::open_in(home, entry.uid, dir),
            None => Ok(None),
        });
        let upload = match opened {
            Ok(Some(upload)) => upload,
            Ok(None) => continue,
            // The failure is the system's. Leaving the upload out would make the sum too low.
            Err(error) if matches!(error.os_errno(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO)) => {
                return Err(error);
            }
            // Uploads that are damaged or belong to another user are not counted: their declared sizes are not
            // reliable.
            Err(_) => continue,
        };
        let taken = match upload.opened.stage() {
            Some(StageRecord { stage: Stage::Removed, .. }) => true,
            Some(record @ StageRecord { stage: Stage::Gone | Stage::Complete, .. }) => {
                upload.verdict(record)? == Verdict::Gone
            }
            _ => false,
        };
        if !taken {
            total.bytes = total.bytes.saturating_add(upload.header.size_on_disk());
            total.uploads += 1;
        }
        if upload.counted()? == taken {
            upload.write_counted(!taken)?;
        }
    }
    Ok(Total { counted_at: now(), ..total })
}

fn open_root(home: &Home) -> Result<Directory> {
    let root = home.root();
    Directory::open(root.to_owned())?.ok_or_else(|| Error::os("cannot open the store", root, errno(libc::ENOENT)))
}

/// The file with the sum: bytes, uploads, the time of the last count, the tag under which it was written, and a
/// checksum. An earlier version wrote 16 bytes, with declared sizes only. Then the store is counted again.
struct Sum {
    file: File,
    path: PathBuf,
    trust: Trust,
}

const SUM_SIZE: usize = 32;

impl Sum {
    fn open(home: &Home) -> Result<Sum> {
        let path = home.root().join(format!("{}promised", home.options().prefix));
        let failed = |error| Error::os("cannot open", &path, error);
        let missing = || failed(errno(libc::ENOENT));
        let root = home.examine_root()?.ok_or_else(missing)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (file, status) = match root.open_record(&path, &options)? {
            Some(found) => found,
            None => {
                let (made, status) = root.open_record(&path, options.create_new(true))?.ok_or_else(missing)?;
                made.set_permissions(Permissions::from_mode(home.options().state_mode())).map_err(failed)?;
                (made, status)
            }
        };
        let trust = home.trust_in(&file, &status).map_err(failed)?;
        Ok(Sum { file, path, trust })
    }

    /// `None` if the uploads must be counted again. Always `None` where the kernel does not tell the boot, because all
    /// sums have one tag there.
    fn read(&self) -> Option<Total> {
        let mut bytes = [0; SUM_SIZE];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let tag = Tag::from_number(u32_at(&bytes, 24));
        let known = u32_at(&bytes, 28) == crc32c(&bytes[..28]) && tag == self.trust.tag() && tag != Tag::UNKNOWN;
        let [bytes, uploads, counted_at] = [0, 8, 16].map(|at| u64_at(&bytes, at));
        known.then_some(Total { bytes, uploads, counted_at })
    }

    fn write(&self, total: Total) -> Result<()> {
        let mut bytes = [0; SUM_SIZE];
        bytes[..8].copy_from_slice(&total.bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&total.uploads.to_le_bytes());
        bytes[16..24].copy_from_slice(&total.counted_at.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.trust.tag().number().to_le_bytes());
        let check = crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        self.file.write_all_at(&bytes, 0).map_err(|error| Error::os("cannot write", &self.path, error))
    }
}

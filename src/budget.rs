//! How much has been promised: the sum of the declared sizes of all uploads whose file was not taken yet.
//!
//! The sum lies in one small file beside the uploads, and each `state` says whether it is in the sum. Both are changed
//! only under the lock on the store's directory, and in an order that leaves the sum too high, never too low, wherever a
//! process dies: added before the upload's own mark is set, subtracted after that is cleared. A sum that is missing, or from
//! before a reboot, is counted anew, and so is one that would refuse an upload.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use crate::crc::crc32c;
use crate::directory::Directory;
use crate::error::{Error, Result, errno};
use crate::format::{COUNTED_AT, Phase as Recorded};
use crate::list::Entries;
use crate::store::Store;
use crate::trust::{Trust, UNKNOWN};
use crate::upload::Upload;
use crate::{Phase, inspect, seam};

/// Room for a new upload, of which other processes do not know yet: they wait. Taken back unless it is kept.
pub(crate) struct Promise {
    // In this order: the sum is written before the lock goes.
    sum: Sum,
    root: Directory,
    /// What the sum was; unknown, it is not written back.
    before: Option<u64>,
    kept: bool,
}

/// Promises room for a new upload; `None` if the store has no limit. Whoever has the promise writes an upload that says
/// that it is in the sum, and then keeps it.
pub(crate) fn promise(store: &Store, size: u64) -> Result<Option<Promise>> {
    let limit = store.options().max_store_size;
    if limit == 0 {
        return Ok(None);
    }
    let root = open_root(store)?;
    std::mem::forget(root.lock_exclusively()?); // `Promise` unlocks
    let mut promise = Promise { sum: Sum::open(store)?, root, before: None, kept: false };
    let asked = |sum: u64| sum.saturating_add(size);
    let before = match promise.sum.read() {
        Some(sum) if asked(sum) <= limit => sum,
        // Unknown, or too high: files were taken that nobody told us of.
        _ => {
            let sum = count(store)?;
            promise.sum.write(sum)?;
            sum
        }
    };
    promise.before = Some(before);
    let asked = asked(before);
    if asked > limit {
        promise.kept = true;
        return Err(Error::LimitExceeded { limit: "max_store_size", value: limit, asked });
    }
    promise.sum.write(asked)?;
    seam::reach("budget:added").map_err(|error| Error::os("budget:added", &promise.sum.path, error))?;
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

/// Takes an upload that was removed, or whose file was taken, out of the sum, if it is in it. Not to be called with a
/// lock on the upload: the store's lock comes first.
pub(crate) fn release(store: &Store, state: &File, size: u64) -> Result<()> {
    let failed = |error| Error::os("cannot take an upload out of the sum of", store.root(), error);
    let is_counted = || -> Result<bool> {
        let mut counted = [0];
        state.read_exact_at(&mut counted, COUNTED_AT).map_err(failed)?;
        Ok(counted != [0])
    };
    if !is_counted()? {
        return Ok(());
    }
    let root = open_root(store)?;
    let _exclusive = root.lock_exclusively()?;
    if is_counted()? {
        let sum = Sum::open(store)?;
        state.write_all_at(&[0], COUNTED_AT).map_err(failed)?;
        if let Some(known) = sum.read() {
            sum.write(known.saturating_sub(size))?;
        }
    }
    Ok(())
}

/// Counts what all uploads declare, and has each say whether it is in the sum. Under the store's lock.
fn count(store: &Store) -> Result<u64> {
    let mut sum = 0_u64;
    for entry in Entries::of(store)? {
        let entry = entry?;
        let opened = entry.open().and_then(|dir| match dir {
            Some(dir) => Upload::open_in(store, entry.uid, dir),
            None => Ok(None),
        });
        let upload = match opened {
            Ok(Some(upload)) => upload,
            Ok(None) => continue,
            // It is not the upload's fault, and leaving it out would make the sum too low.
            Err(error) if matches!(error.os_errno(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO)) => {
                return Err(error);
            }
            // What is damaged, or somebody else's, takes no part; it declares nothing that could be relied on.
            Err(_) => continue,
        };
        let taken = match upload.opened.phase() {
            Some(record) if matches!(record.phase, Recorded::Gone | Recorded::Removed) => true,
            Some(record) if record.phase == Recorded::Complete => {
                inspect::standing(&upload, record)? == Some(Phase::Gone)
            }
            _ => false,
        };
        if !taken {
            sum = sum.saturating_add(upload.header.shape.total_size);
        }
        if upload.counted()? == taken {
            upload.write_counted(!taken)?;
        }
    }
    Ok(sum)
}

fn open_root(store: &Store) -> Result<Directory> {
    let root = store.root();
    Directory::open(root.to_owned())?.ok_or_else(|| Error::os("cannot open the store", root, errno(libc::ENOENT)))
}

/// The file with the sum: the number, the tag under which it was written, and a checksum.
struct Sum {
    file: File,
    path: PathBuf,
    tag: u32,
}

const SUM_SIZE: usize = 16;

impl Sum {
    fn open(store: &Store) -> Result<Sum> {
        let path = store.root().join(format!("{}promised", store.options().prefix));
        let failed = |error| Error::os("cannot open", &path, error);
        let missing = || failed(errno(libc::ENOENT));
        let root = store.examine_root()?.ok_or_else(missing)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (file, status) = match root.open_record(&path, &options)? {
            Some(found) => found,
            None => {
                let (made, status) = root.open_record(&path, options.create_new(true))?.ok_or_else(missing)?;
                made.set_permissions(Permissions::from_mode(store.options().state_mode())).map_err(failed)?;
                (made, status)
            }
        };
        let tag = Trust::now(&store.boot, status.mount).tag();
        Ok(Sum { file, path, tag })
    }

    /// `None` if it has to be counted again; always where the kernel does not tell boot and mount, as all sums have the same
    /// tag there.
    fn read(&self) -> Option<u64> {
        let mut bytes = [0; SUM_SIZE];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (sum, rest) = bytes.split_first_chunk::<8>()?;
        let [tag, check] = [0, 4].map(|at| u32_at(rest, at));
        (check == crc32c(&bytes[..12]) && tag == self.tag && tag != UNKNOWN).then(|| u64::from_le_bytes(*sum))
    }

    fn write(&self, sum: u64) -> Result<()> {
        let mut bytes = [0; SUM_SIZE];
        bytes[..8].copy_from_slice(&sum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tag.to_le_bytes());
        let check = crc32c(&bytes[..12]);
        bytes[12..].copy_from_slice(&check.to_le_bytes());
        self.file.write_all_at(&bytes, 0).map_err(|error| Error::os("cannot write", &self.path, error))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

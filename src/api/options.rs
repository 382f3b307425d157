//! The options of a store.

use std::fmt;
use std::str::FromStr;

use crate::api::error::{Error, Result, quote};

/// The crashes that an acknowledged chunk and a finished file survive.
///
/// An upload keeps the highest level that any call has used on it. The first call with a higher level syncs what was
/// left unsynced at the lower one. At every level [`Store::get`](crate::Store::get) returns only the right bytes: after
/// power loss, unsynced bytes are compared with their checksums before they are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// The death of every process, at any instant. Nothing is synced.
    #[default]
    Process = 0,
    /// Also: the finished file survives power loss after `get` returned it.
    Complete = 1,
    /// Also: every acknowledged chunk survives power loss.
    Chunk = 2,
}

impl Durability {
    /// The level with this name: `process`, `complete` or `chunk`.
    pub fn from_name(name: &str) -> Option<Durability> {
        [Durability::Process, Durability::Complete, Durability::Chunk].into_iter().find(|level| level.name() == name)
    }

    /// The name of this level.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Process => "process",
            Durability::Complete => "complete",
            Durability::Chunk => "chunk",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The level with this name. The error is [`Error::InvalidArgument`].
impl FromStr for Durability {
    type Err = Error;

    fn from_str(name: &str) -> Result<Durability> {
        let unknown =
            || Error::InvalidArgument(format!("durability {} is not process, complete or chunk", quote(name)));
        Durability::from_name(name).ok_or_else(unknown)
    }
}

/// Limits and settings of a store. They belong to the handle, not to the directory. Two processes may use one store
/// with different options. With different prefixes they see different uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The largest `total_size` of a new upload, in bytes; 0 means no limit. Default 0.
    pub max_total_size: u64,
    /// The largest `chunk_count` of a new upload; 0 means no limit. Default 1,000,000. Each chunk takes 32 bytes on
    /// disk, and a `get` of an unfinished upload reads them all. Without a limit a client decides how long that takes.
    pub max_chunk_count: u64,
    /// The bytes that must stay free on the file system after a new upload's declared size is subtracted. Default 16
    /// MiB.
    pub min_free_space: u64,
    /// The most bytes that all uploads together may take on disk; 0 means no limit. Default 0. An upload counts until
    /// its file is taken. It counts with its declared size, its table of chunks in blocks of 4 KiB, and 4 KiB for its
    /// directory. Two processes with this limit never promise the same room twice. Uploads made without the limit count
    /// after the next count of the store. The store is counted again before an upload is refused, at most once a
    /// second. So a file that was taken without a call of this library makes room after at most a second. If several
    /// first chunks with one key arrive at the same moment, each takes room until it is known that they are one upload.
    /// Near the limit some may be refused. They succeed when they are sent again.
    ///
    /// Room that replaced chunks leave does not count. A client that sends chunks of wrong sizes can make an upload
    /// take three times its declared size on disk. While `get` copies its chunks into order, it can take four times. If
    /// clients may be hostile, set the limit to a quarter of the room.
    pub max_store_size: u64,
    /// The most uploads in the store, of all owners together; 0 means no limit. Default 0. They are counted as for
    /// `max_store_size`.
    pub max_uploads: u64,
    /// Whether this handle sees the uploads of every owner, as the tools of an administrator do. Default false: a
    /// handle sees the uploads of its own owner, or those without one ([`Store::for_owner`](crate::Store::for_owner)).
    pub all_owners: bool,
    /// The crashes that uploads survive. Default [`Durability::Process`].
    pub durability: Durability,
    /// The text before the uid in the names of upload directories: up to 64 bytes, no `/` and no NUL. Default empty.
    pub prefix: String,
    /// Permissions of directories, whatever the umask: at most 0o7777, and with all of 0o700. Default 0o700.
    pub dir_mode: u32,
    /// Permissions of files, whatever the umask: at most 0o777, and with all of 0o600. Default 0o600. A user who can
    /// read a file can hold locks on it, and so delay its writers. So only users who may write `state`, which has the
    /// locks, may read it.
    pub file_mode: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_total_size: 0,
            max_chunk_count: 1_000_000,
            min_free_space: 16 << 20,
            max_store_size: 0,
            max_uploads: 0,
            all_owners: false,
            durability: Durability::Process,
            prefix: String::new(),
            dir_mode: 0o700,
            file_mode: 0o600,
        }
    }
}

impl Options {
    /// Refuses values with which no store can work.
    pub fn validate(&self) -> Result<()> {
        const MAX_PREFIX: usize = 64;
        let refuse = |text: String| Err(Error::InvalidArgument(text));
        if self.prefix.len() > MAX_PREFIX || self.prefix.contains(['/', '\0']) {
            return refuse(format!("prefix {} is longer than 64 bytes, or contains / or NUL", quote(&self.prefix)));
        }
        if self.dir_mode & !0o7777 != 0 || self.dir_mode & 0o700 != 0o700 {
            return refuse(format!("dir_mode {:#o} must include 0o700 and not exceed 0o7777", self.dir_mode));
        }
        if self.file_mode & !0o777 != 0 || self.file_mode & 0o600 != 0o600 {
            return refuse(format!("file_mode {:#o} must include 0o600 and not exceed 0o777", self.file_mode));
        }
        Ok(())
    }

    /// The permissions of `state`.
    pub(crate) fn state_mode(&self) -> u32 {
        let writers = self.file_mode & 0o222;
        self.file_mode & (writers | writers << 1)
    }

    /// Refuses a new upload that exceeds a limit. An upload that was admitted may be finished under any limits.
    pub(crate) fn admit(&self, total_size: u64, chunk_count: u64, size_on_disk: u64) -> Result<()> {
        within(&[
            ("max_total_size", self.max_total_size, total_size),
            ("max_chunk_count", self.max_chunk_count, chunk_count),
            // Too large by itself: no other upload needs to be counted.
            ("max_store_size", self.max_store_size, size_on_disk),
        ])
    }
}

/// Refuses a request that exceeds one of these limits: name, value, requested value. 0 means no limit.
pub(crate) fn within(limits: &[(&'static str, u64, u64)]) -> Result<()> {
    match limits.iter().find(|&&(_, value, asked)| value != 0 && asked > value) {
        Some(&(limit, value, asked)) => Err(Error::LimitExceeded { limit, value, asked }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ErrorKind;

    #[test]
    fn who_may_not_write_may_not_read_the_state() {
        let of = |file_mode| Options { file_mode, ..Options::default() }.state_mode();
        assert_eq!((of(0o600), of(0o644), of(0o664), of(0o640), of(0o666)), (0o600, 0o600, 0o660, 0o600, 0o666));
    }

    #[test]
    fn values_no_store_can_work_with_are_refused() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err().kind() == ErrorKind::InvalidArgument
        };
        assert!(Options::default().validate().is_ok());
        assert!(refused(|o| o.prefix = "a/b".into()));
        assert!(refused(|o| o.prefix = "a\0b".into()));
        assert!(refused(|o| o.prefix = "x".repeat(65)));
        assert!(refused(|o| o.dir_mode = 0o500));
        assert!(refused(|o| o.dir_mode = 0o10700));
        assert!(refused(|o| o.file_mode = 0o400));
        assert!(refused(|o| o.file_mode = 0o4600));
    }
}

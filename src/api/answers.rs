//! The answers of `inspect`, `verify`, `cleanup` and `list`.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::api::uid::Uid;

/// The phase of an upload, as clients are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Chunks may come. All may be there, if no call has asked for the file yet.
    Receiving = 1,
    /// The finished file is there.
    Complete = 2,
    /// The finished file was taken away.
    Gone = 3,
}

impl Phase {
    /// The stable name: `receiving`, `complete` or `gone`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Receiving => "receiving",
            Phase::Complete => "complete",
            Phase::Gone => "gone",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The largest number of ranges in one answer.
pub const MAX_RANGES: usize = 1000;

/// What is known of an upload. Returned by [`Store::inspect`](crate::Store::inspect).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The upload's uid.
    pub uid: Uid,
    /// The name that the first chunk gave, unchanged.
    pub file_name: String,
    /// The declared size, in bytes.
    pub total_size: u64,
    /// The declared number of chunks.
    pub chunk_count: u64,
    /// Bytes in the chunks that are there.
    pub received_size: u64,
    /// How many chunks are there.
    pub received_count: u64,
    /// The phase of the upload.
    pub phase: Phase,
    /// When the last chunk was accepted, or the file last asked for; accurate to a second.
    pub last_activity: SystemTime,
    /// The missing chunks, from the requested number on: ascending ranges of chunk numbers, at most [`MAX_RANGES`].
    pub missing: Vec<Range<u64>>,
    /// The first missing chunk after those ranges, if there is one: the `from_chunk` of the next call.
    pub next_chunk: Option<u64>,
}

/// What a new reading of the stored bytes showed. Returned by [`Store::verify`](crate::Store::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// [`Phase::Receiving`] (damaged chunks are missing now) or [`Phase::Complete`] (nothing was changed).
    pub phase: Phase,
    /// How many chunks were read.
    pub checked_count: u64,
    /// How many of them differ from the received bytes.
    pub damaged_count: u64,
    /// The numbers of the damaged chunks: ascending ranges, at most [`MAX_RANGES`].
    pub damaged: Vec<Range<u64>>,
}

/// What [`Store::cleanup`](crate::Store::cleanup) is to remove: uploads without activity for longer than an age. Each
/// kind has its own age; `None` keeps all uploads of that kind. Later versions may add fields, so end with
/// `..Expiry::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The age of uploads that are not finished, and of what crashes left.
    pub unfinished: Option<Duration>,
    /// The age of finished uploads whose file is still there.
    pub finished: Option<Duration>,
    /// The age of the records of uploads whose file was taken.
    pub gone: Option<Duration>,
    /// The largest number of removals in this call.
    pub max_removals: u64,
    /// Whether to report the removals without making them.
    pub dry_run: bool,
}

/// Keeps everything: no kind of upload has an age.
impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { unfinished: None, finished: None, gone: None, max_removals: 1000, dry_run: false }
    }
}

impl Expiry {
    /// One age for all kinds, and at most 1,000 removals.
    pub fn older_than(age: Duration) -> Expiry {
        let age = Some(age);
        Expiry { unfinished: age, finished: age, gone: age, ..Expiry::default() }
    }
}

/// One removal of a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The uid. If a crash left the directory, it may be a uid that no client has seen.
    pub uid: Uid,
    /// The upload's phase; `None` if a crash left the directory, or its `state` is damaged.
    pub phase: Option<Phase>,
}

/// What [`Store::cleanup`](crate::Store::cleanup) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// The removals; with `dry_run`, those that would be made.
    pub removed: Vec<Removed>,
    /// How many old directories could not be removed, for example because another user owns the directory, or a filter
    /// refuses locks. Removed uploads count, too, if the part of a copy (`.upload-*.part`) stays on another file
    /// system, for example because that became read-only.
    pub failed_count: u64,
    /// Whether `max_removals` was reached before all entries were examined: another call may find more.
    pub more: bool,
}

/// One upload of a store. Yielded by [`Store::list`](crate::Store::list).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The upload's uid.
    pub uid: Uid,
    /// The name that the first chunk gave, unchanged.
    pub file_name: String,
    /// The declared size, in bytes.
    pub total_size: u64,
    /// The declared number of chunks.
    pub chunk_count: u64,
    /// The phase of the upload.
    pub phase: Phase,
    /// When the last chunk was accepted, or the file last asked for; accurate to a second.
    pub last_activity: SystemTime,
}

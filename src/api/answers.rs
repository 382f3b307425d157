//! What the calls that follow an upload through its life answer.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::api::uid::Uid;

/// What an upload is, as far as its clients and owner are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Chunks may come; or all are there, and the file was not asked for yet.
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

/// The most ranges that one answer holds.
pub const MAX_RANGES: usize = 1000;

/// What is known of an upload. Answered by [`Store::inspect`](crate::Store::inspect).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The upload's uid.
    pub uid: Uid,
    /// What the first chunk said, verbatim.
    pub file_name: String,
    /// The declared size, in bytes.
    pub total_size: u64,
    /// The declared number of chunks.
    pub chunk_count: u64,
    /// Bytes in the chunks that are there.
    pub received_size: u64,
    /// How many chunks are there.
    pub received_count: u64,
    /// What the upload is.
    pub phase: Phase,
    /// When the last chunk was accepted, or the file last asked for; to a second.
    pub last_activity: SystemTime,
    /// The chunks that are missing, from the number that was asked for on: ascending ranges of chunk numbers, at most
    /// [`MAX_RANGES`].
    pub missing: Vec<Range<u64>>,
    /// Where to go on asking, if there are more ranges.
    pub next_chunk: Option<u64>,
}

/// What reading the stored bytes again has shown. Answered by [`Store::verify`](crate::Store::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// What the upload is: [`Phase::Receiving`] (damaged chunks are missing now) or [`Phase::Complete`] (nothing was
    /// changed).
    pub phase: Phase,
    /// How many chunks were read.
    pub checked_count: u64,
    /// How many of them are not what was received.
    pub damaged_count: u64,
    /// Which: ascending ranges of chunk numbers, at most [`MAX_RANGES`].
    pub damaged: Vec<Range<u64>>,
}

/// What [`Store::cleanup`](crate::Store::cleanup) is to remove: uploads without activity for longer than an age, by
/// what they are; `None` keeps all of that kind. Later versions may add fields, so end with `..Expiry::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The age of uploads that are not finished, and of what crashes left.
    pub unfinished: Option<Duration>,
    /// The age of finished uploads whose file was not taken.
    pub finished: Option<Duration>,
    /// The age of the records of uploads whose file was taken.
    pub gone: Option<Duration>,
    /// How many to remove at the most in this call.
    pub max_removals: u64,
    /// Whether to tell only what would be removed.
    pub dry_run: bool,
}

/// Keeps everything: no kind of upload has an age.
impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { unfinished: None, finished: None, gone: None, max_removals: 1000, dry_run: false }
    }
}

impl Expiry {
    /// The same age for all, and at most 1,000 removals.
    pub fn older_than(age: Duration) -> Expiry {
        let age = Some(age);
        Expiry { unfinished: age, finished: age, gone: age, ..Expiry::default() }
    }
}

/// What a cleanup removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The uid; of what a crash left perhaps the one under which it was being made.
    pub uid: Uid,
    /// What it was; `None` for what a crash left.
    pub phase: Option<Phase>,
}

/// What [`Store::cleanup`](crate::Store::cleanup) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// What was removed, or with `dry_run` would have been.
    pub removed: Vec<Removed>,
    /// How many that are old enough could not be removed, for example because the directory belongs to another user, or
    /// a filter refuses locks. Uploads that were removed count, too, if the part of a copy (`.upload-*.part`) stays on
    /// another file system, for example because that became read-only.
    pub failed_count: u64,
    /// Whether `max_removals` was reached before all was looked at: another call may find more.
    pub more: bool,
}

/// One upload of a store. Yielded by [`Store::list`](crate::Store::list).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The upload's uid.
    pub uid: Uid,
    /// What the first chunk said, verbatim.
    pub file_name: String,
    /// The declared size, in bytes.
    pub total_size: u64,
    /// The declared number of chunks.
    pub chunk_count: u64,
    /// What the upload is.
    pub phase: Phase,
    /// When the last chunk was accepted, or the file last asked for; to a second.
    pub last_activity: SystemTime,
}

//! The rules: what a record says, where bytes go, which records are trusted. No file, no lock, no clock.

pub(crate) mod crc;
pub(crate) mod digests;
pub(crate) mod format;
pub(crate) mod keys;
pub(crate) mod placement;
pub(crate) mod tag;
pub(crate) mod verdict;

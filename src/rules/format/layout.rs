//! The `state` file, byte by byte. All numbers are little-endian.
//!
//! ```text
//!   0  header, written once: magic, format version, shape, file name's length and checksum, the expected CRC-32C of
//!      the whole file, the checksum of the identity; own checksum
//!  64  stage     the upload's stage, whether the grid is void, the whole file's checksum, a tag (see `records`)
//!  96  tail      where the next chunk off the grid goes
//! 128  rewrite   how far the chunks have been copied into order
//! 160  full      up to which chunk the table is known to be full: a hint
//! 192  closing   not zero: a completer waits for all slots (see `locks`)
//! 193  level     the durability level of this upload
//! 194  counted   not zero: the upload is in the store's sum (see `budget`)
//! 195  doubt     not zero: a sync has failed, or may have (see `confirm`)
//! 256  identity, written once: the owner's digest, the expected SHA-256 of the whole file
//! 320  hashing   how far the whole file's SHA-256 has been computed
//! 512  file name
//!  T   the table: one slot of 32 bytes per chunk; T is the first multiple of 64 after the name
//! ```
//!
//! Each record is 32 bytes (hashing: 128), never crosses a sector, and ends with its own CRC-32C. A record that fails
//! it was never written. Slots have no checksum: their tag says whether they can be trusted (see `rules::tag`).
//!
//! Version 1 has neither owners nor expected checksums: its name begins at 256. It is read, but no longer written.

use std::ffi::CStr;

/// The header and the table.
pub(crate) const STATE: &CStr = c"state";
/// The bytes while receiving.
pub(crate) const DATA: &CStr = c"data";
/// The chunks copied into order, if they did not arrive in order.
pub(crate) const ORDERED: &CStr = c"ordered";
/// The finished upload.
pub(crate) const FILE: &CStr = c"file";

/// The record of the finished upload's destination.
pub(crate) const CLAIM: &CStr = c"claim";
/// The next claim while it is written.
pub(crate) const NEW_CLAIM: &CStr = c"claim.new";

pub(crate) const MAGIC: [u8; 8] = *b"CHUNKUPL";
/// The version without the identity.
pub(crate) const BARE_VERSION: u32 = 1;
pub(crate) const VERSION: u32 = 2;

/// The size of header and records, except `hashing`.
pub(crate) const RECORDS_SIZE: usize = 256;
/// The size of all that precedes the file name: header, records and identity.
pub(crate) const HEAD_SIZE: usize = 512;
pub(crate) const IDENTITY_AT: usize = 256;
pub(crate) const IDENTITY_SIZE: usize = 64;
pub(crate) const SLOT_SIZE: u64 = 32;
pub(crate) const STAGE_AT: u64 = 64;
pub(crate) const TAIL_AT: u64 = 96;
pub(crate) const REWRITE_AT: u64 = 128;
pub(crate) const FULL_AT: u64 = 160;
pub(crate) const CLOSING_AT: u64 = 192;
pub(crate) const LEVEL_AT: u64 = 193;
pub(crate) const COUNTED_AT: u64 = 194;
pub(crate) const DOUBT_AT: u64 = 195;
pub(crate) const HASHING_AT: u64 = 320;

/// Flags: which expected checksums a header holds.
pub(crate) const HAS_CRC32C: u32 = 1;
pub(crate) const HAS_SHA256: u32 = 2;

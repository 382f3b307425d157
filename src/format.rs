//! The `state` file, byte by byte. All numbers are little-endian.
//!
//! ```text
//!   0  header, written once: magic, format version, shape, file name's length and checksum, the expected CRC-32C of
//!      the whole file, the checksum of the identity; own checksum
//!  64  phase     what the upload is, the whole file's checksum, under which tag its bytes were written
//!  96  tail      where the next chunk that is not on the grid goes
//! 128  rewrite   how far the chunks have been copied into order
//! 160  full      up to which chunk the table is known to be full: a hint
//! 192  closing   not zero: a completer is waiting for all slots (see `lock`)
//! 193  level     the durability this upload has been promised
//! 194  counted   not zero: the upload is in the store's sum (see `budget`)
//! 195  doubt     not zero: a sync has failed, or may have (see `confirm`)
//! 256  identity, written once: the owner's digest, the expected SHA-256 of the whole file
//! 320  hashing   how far the whole file's SHA-256 has been computed
//! 512  file name
//!  T   the table: one slot of 32 bytes per chunk; T is the first multiple of 64 after the name
//! ```
//!
//! Each record is 32 bytes (hashing: 128), never straddles a sector, and ends with its own CRC-32C; one that does not
//! match it was never written. Slots have no checksum: their tag says whether they can be believed (see `trust`).
//!
//! Version 1 knows neither owners nor expected checksums: there the name begins at 256. It is read, no longer written.

use std::ops::Range;

use crate::Durability;
use crate::crc::crc32c;
use crate::digest::Digests;
use crate::placement::Shape;

const MAGIC: [u8; 8] = *b"CHUNKUPL";
/// Without the identity.
const BARE_VERSION: u32 = 1;
const VERSION: u32 = 2;

/// What the records take.
pub(crate) const RECORDS_SIZE: usize = 256;
/// What precedes the file name: header, records and identity.
pub(crate) const HEAD_SIZE: usize = 512;
const IDENTITY_AT: usize = 256;
const IDENTITY_SIZE: usize = 64;
/// The size of a slot.
pub(crate) const SLOT_SIZE: u64 = 32;
pub(crate) const PHASE_AT: u64 = 64;
pub(crate) const TAIL_AT: u64 = 96;
pub(crate) const REWRITE_AT: u64 = 128;
pub(crate) const FULL_AT: u64 = 160;
pub(crate) const CLOSING_AT: u64 = 192;
pub(crate) const LEVEL_AT: u64 = 193;
pub(crate) const COUNTED_AT: u64 = 194;
pub(crate) const DOUBT_AT: u64 = 195;
pub(crate) const HASHING_AT: u64 = 320;

/// Which expected checksums a header holds.
const HAS_CRC32C: u32 = 1;
const HAS_SHA256: u32 = 2;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// What is wrong with a `state` that another version of this library wrote.
pub(crate) const OTHER_VERSION: &str = "its format is of another version";

/// What never changes after the upload was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    version: u32,
    pub shape: Shape,
    pub name_length: u32,
    pub name_crc: u32,
    /// The digest of the owner; `None` if the upload has none.
    pub owner: Option<[u8; 32]>,
    /// Of the whole file, as the first chunk said.
    pub expected: Digests,
}

impl Header {
    pub(crate) fn new(shape: Shape, file_name: &str, owner: Option<[u8; 32]>, expected: Digests) -> Header {
        let (name_length, name_crc) = (file_name.len() as u32, crc32c(file_name.as_bytes()));
        Header { version: VERSION, shape, name_length, name_crc, owner, expected }
    }

    fn identity(&self) -> [u8; IDENTITY_SIZE] {
        let mut bytes = [0; IDENTITY_SIZE];
        bytes[..32].copy_from_slice(&self.owner.unwrap_or_default());
        bytes[32..].copy_from_slice(&self.expected.sha256.unwrap_or_default());
        bytes
    }

    pub(crate) fn encode(&self) -> [u8; PHASE_AT as usize] {
        let mut bytes = [0; PHASE_AT as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.name_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.shape.total_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.shape.chunk_count.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.shape.grid.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.name_crc.to_le_bytes());
        if self.version > BARE_VERSION {
            let has = |there: bool, flag: u32| if there { flag } else { 0 };
            let flags =
                has(self.expected.crc32c.is_some(), HAS_CRC32C) | has(self.expected.sha256.is_some(), HAS_SHA256);
            bytes[44..48].copy_from_slice(&flags.to_le_bytes());
            bytes[48..52].copy_from_slice(&self.expected.crc32c.unwrap_or_default().to_le_bytes());
            bytes[52..56].copy_from_slice(&crc32c(&self.identity()).to_le_bytes());
        }
        let check = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Everything in front of the table, as it is at first.
    pub(crate) fn first_bytes(&self, name: &str, phase: PhaseRecord, tail: Mark, level: Durability) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_SIZE];
        let mut put = |at: u64, part: &[u8]| bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
        put(0, &self.encode());
        put(PHASE_AT, &phase.encode());
        put(TAIL_AT, &tail.encode());
        put(REWRITE_AT, &Progress { number: NEVER_BEGUN, ..Progress::default() }.encode());
        put(LEVEL_AT, &[level as u8]);
        put(IDENTITY_AT as u64, &self.identity());
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    /// Says what is wrong with bytes that are no header.
    pub(crate) fn decode(bytes: &[u8; HEAD_SIZE]) -> Result<Header, &'static str> {
        if bytes[0..8] != MAGIC {
            return Err("it does not begin like one");
        }
        let version = u32_at(bytes, 8);
        if !(BARE_VERSION..=VERSION).contains(&version) {
            return Err(OTHER_VERSION);
        }
        if u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err("its header fails its checksum");
        }
        // Both versions had this limit. Without it a forged header decides how much memory the name takes.
        if u32_at(bytes, 12) as usize > crate::MAX_FILE_NAME {
            return Err("its file name is too long");
        }
        let shape = Shape { total_size: u64_at(bytes, 16), chunk_count: u64_at(bytes, 24), grid: u64_at(bytes, 32) };
        let (mut owner, mut expected) = (None, Digests::default());
        if version > BARE_VERSION {
            let identity = &bytes[IDENTITY_AT..IDENTITY_AT + IDENTITY_SIZE];
            if u32_at(bytes, 52) != crc32c(identity) {
                return Err("its identity fails its checksum");
            }
            let (flags, hashes) = (u32_at(bytes, 44), identity.as_chunks::<32>().0);
            owner = Some(hashes[0]).filter(|digest| *digest != [0; 32]);
            expected.crc32c = (flags & HAS_CRC32C != 0).then(|| u32_at(bytes, 48));
            expected.sha256 = (flags & HAS_SHA256 != 0).then_some(hashes[1]);
        }
        Ok(Header { version, shape, name_length: u32_at(bytes, 12), name_crc: u32_at(bytes, 40), owner, expected })
    }

    /// Where the file name begins.
    pub(crate) fn name_at(&self) -> u64 {
        if self.version == BARE_VERSION { RECORDS_SIZE as u64 } else { HEAD_SIZE as u64 }
    }

    /// Where the table begins.
    fn table_at(&self) -> u64 {
        (self.name_at() + u64::from(self.name_length)).next_multiple_of(64)
    }

    /// Where a chunk's slot lies.
    pub(crate) fn slot_at(&self, number: u64) -> u64 {
        self.table_at() + number * SLOT_SIZE
    }

    /// What the finished upload takes on disk with its directory and `state`, as the store's sum counts it. It never
    /// changes for an upload, so what is subtracted is what was added.
    pub(crate) fn size_on_disk(&self) -> u64 {
        const BLOCK: u64 = 4096;
        let state = self.state_size().unwrap_or(crate::MAX_NUMBER).next_multiple_of(BLOCK);
        self.shape.total_size.saturating_add(state).saturating_add(BLOCK)
    }

    /// How large the whole `state` file is; `None` if no file can be.
    pub(crate) fn state_size(&self) -> Option<u64> {
        let table = self.shape.chunk_count.checked_mul(SLOT_SIZE)?;
        table.checked_add(self.table_at()).filter(|&size| size <= crate::MAX_NUMBER)
    }
}

/// What is on record of one chunk.
///
/// A cleared slot has the tag `MISSING`, but keeps its place, so that the chunk goes there when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    /// Where the chunk's place in `data` begins.
    pub offset: u64,
    /// How many bytes are there.
    pub length: u64,
    /// How many bytes the place has room for.
    pub capacity: u64,
    pub crc32c: u32,
    /// See `trust`.
    pub tag: u32,
}

impl Slot {
    pub(crate) fn encode(&self) -> [u8; SLOT_SIZE as usize] {
        let mut bytes = [0; SLOT_SIZE as usize];
        bytes[0..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Slot {
        Slot {
            offset: u64_at(bytes, 0),
            length: u64_at(bytes, 8),
            capacity: u64_at(bytes, 16),
            crc32c: u32_at(bytes, 24),
            tag: u32_at(bytes, 28),
        }
    }

    /// Whether the chunk is there.
    pub(crate) fn received(&self) -> bool {
        self.tag != crate::trust::MISSING
    }

    /// The same place, without its bytes.
    pub(crate) fn cleared(&self) -> Slot {
        self.cleared_for(self)
    }

    /// A slot for this chunk with the place `to` and without bytes. Its checksum field records whether the disk may
    /// hold this slot as synced, or with a place that the chunk gives up.
    pub(crate) fn cleared_for(&self, to: &Slot) -> Slot {
        let gives_up = to.capacity == 0 && self.capacity > 0;
        let crc32c = if self.may_be_synced_on_disk() || gives_up { crate::trust::SYNCED } else { 0 };
        Slot { offset: to.offset, capacity: to.capacity, crc32c, ..Slot::default() }
    }

    /// Whether the disk may hold a record of this chunk that is believed after power loss. Then `state` is synced
    /// before the chunk's bytes are touched. If a call is killed before it syncs, the next call does so.
    pub(crate) fn may_be_synced_on_disk(&self) -> bool {
        use crate::trust::{MISSING, SYNCED};
        self.tag == SYNCED || (self.tag == MISSING && self.crc32c == SYNCED)
    }

    /// Where the place ends; saturates on garbage.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.capacity)
    }
}

/// What an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Chunks come in; they lie in `data`.
    Receiving = 1,
    /// All chunks lie in order in `ordered`; `data` is about to go.
    Ordered = 2,
    /// The finished file is `file`, or its owner took it.
    Complete = 3,
    /// The owner was seen to have taken it.
    Gone = 4,
    /// The first chunk is on its way: other calls find no upload yet.
    Creating = 5,
    /// For everybody there is no upload any more: its files are about to go.
    Removed = 6,
}

impl Phase {
    /// Whether there is an upload, for any call but a cleanup.
    pub(crate) fn is_upload(self) -> bool {
        !matches!(self, Phase::Creating | Phase::Removed)
    }
}

/// The phase, and what is known of the finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PhaseRecord {
    pub phase: Phase,
    /// Of the whole file, from phase `Complete` on.
    pub crc32c: u32,
    /// Under which the file's bytes, names and records were written, from phase `Ordered` on.
    pub tag: u32,
    /// Read while receiving only: the chunks were in order once, and the places on the grid are no longer theirs.
    pub grid_is_void: bool,
}

/// A number that holds under one tag: the end of the tail, or up to where the table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub value: u64,
    pub tag: u32,
}

/// In place of the number of the next chunk to copy: there never was a rewrite. Where a rewrite was given up, the record is
/// zeros.
const NEVER_BEGUN: u64 = u64::MAX;

/// How far the chunks have been copied into order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The next chunk to copy.
    pub number: u64,
    /// Where in `ordered` it goes.
    pub offset: u64,
    pub tag: u32,
}

/// How far the whole file's SHA-256 has been computed: up to this chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashing {
    pub number: u64,
    pub tag: u32,
    /// The hash function's own state.
    pub state: [u8; HASH_STATE_SIZE],
}

/// What the state of SHA-256 takes: eight words, the count of blocks, and the block that is not full yet.
pub(crate) const HASH_STATE_SIZE: usize = 104;
pub(crate) const HASHING_SIZE: usize = 128;

impl Hashing {
    pub(crate) fn encode(&self) -> [u8; HASHING_SIZE] {
        let mut bytes = [0; HASHING_SIZE];
        bytes[0..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tag.to_le_bytes());
        bytes[12..12 + HASH_STATE_SIZE].copy_from_slice(&self.state);
        let check = crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` if it was never written.
    pub(crate) fn decode(bytes: &[u8; HASHING_SIZE]) -> Option<Hashing> {
        let state = bytes[12..12 + HASH_STATE_SIZE].try_into().expect("so many bytes");
        (u32_at(bytes, 124) == crc32c(&bytes[..124])).then(|| Hashing {
            number: u64_at(bytes, 0),
            tag: u32_at(bytes, 8),
            state,
        })
    }
}

/// A sealed record: two large numbers, two small ones, a spare word and the checksum.
type Record = [u8; 32];

fn seal(large: [u64; 2], small: [u32; 2]) -> Record {
    let mut bytes = [0; 32];
    bytes[0..8].copy_from_slice(&large[0].to_le_bytes());
    bytes[8..16].copy_from_slice(&large[1].to_le_bytes());
    bytes[16..20].copy_from_slice(&small[0].to_le_bytes());
    bytes[20..24].copy_from_slice(&small[1].to_le_bytes());
    let check = crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn unseal(bytes: &[u8]) -> Option<([u64; 2], [u32; 2])> {
    (u32_at(bytes, 28) == crc32c(&bytes[..28]))
        .then(|| ([u64_at(bytes, 0), u64_at(bytes, 8)], [u32_at(bytes, 16), u32_at(bytes, 20)]))
}

impl PhaseRecord {
    pub(crate) fn encode(&self) -> Record {
        seal([self.phase as u64, self.grid_is_void.into()], [self.crc32c, self.tag])
    }
}

impl Mark {
    pub(crate) fn encode(&self) -> Record {
        seal([self.value, 0], [self.tag, 0])
    }
}

impl Progress {
    pub(crate) fn encode(&self) -> Record {
        seal([self.number, self.offset], [self.tag, 0])
    }
}

/// The first bytes of a `state` file, as they were when they were read: all records, [`RECORDS_SIZE`] bytes, and after
/// them as much of the name and the table as was read with them.
pub(crate) struct Records(pub Vec<u8>);

impl Records {
    /// What [`Header::decode`] takes. Of version 1 this has some of the name and the table, and zeros after the file's
    /// end.
    pub(crate) fn head(&self) -> [u8; HEAD_SIZE] {
        let mut head = [0; HEAD_SIZE];
        let length = self.0.len().min(HEAD_SIZE);
        head[..length].copy_from_slice(&self.0[..length]);
        head
    }

    /// The file name's bytes; `None` if not all of them were read.
    pub(crate) fn name(&self, header: &Header) -> Option<&[u8]> {
        let at = header.name_at() as usize;
        self.0.get(at..at + header.name_length as usize)
    }

    /// The slots of these chunks; `None` if not all of them were read.
    pub(crate) fn slots(&self, header: &Header, numbers: Range<u64>) -> Option<impl Iterator<Item = Slot>> {
        let at = |number| usize::try_from(header.slot_at(number)).ok();
        let table = self.0.get(at(numbers.start)?..at(numbers.end)?)?;
        Some(table.chunks_exact(SLOT_SIZE as usize).map(Slot::decode))
    }

    fn record(&self, at: u64) -> Option<([u64; 2], [u32; 2])> {
        unseal(&self.0[at as usize..at as usize + 32])
    }

    /// `None` if it is garbage, or was read while it was being written.
    pub(crate) fn phase(&self) -> Option<PhaseRecord> {
        let ([phase, grid_is_void], [crc32c, tag]) = self.record(PHASE_AT)?;
        let all = [Phase::Receiving, Phase::Ordered, Phase::Complete, Phase::Gone, Phase::Creating, Phase::Removed];
        let phase = all.into_iter().find(|&known| known as u64 == phase)?;
        Some(PhaseRecord { phase, crc32c, tag, grid_is_void: grid_is_void != 0 })
    }

    fn mark(&self, at: u64) -> Option<Mark> {
        let ([value, _], [tag, _]) = self.record(at)?;
        Some(Mark { value, tag })
    }

    pub(crate) fn tail(&self) -> Option<Mark> {
        self.mark(TAIL_AT)
    }

    pub(crate) fn full(&self) -> Option<Mark> {
        self.mark(FULL_AT)
    }

    /// Whether clearing this slot makes a gap before the mark of the full part of the table.
    pub(crate) fn lowers_full(&self, number: u64, held: &Slot) -> bool {
        held.received() && self.full().is_some_and(|full| full.value > number)
    }

    pub(crate) fn rewrite(&self) -> Option<Progress> {
        let ([number, offset], [tag, _]) = self.record(REWRITE_AT)?;
        (number != NEVER_BEGUN).then_some(Progress { number, offset, tag })
    }

    /// Whether no rewrite has begun, as far as this tells.
    pub(crate) fn no_rewrite_yet(&self) -> bool {
        self.record(REWRITE_AT).is_some_and(|([number, _], _)| number == NEVER_BEGUN)
    }

    pub(crate) fn closing(&self) -> bool {
        self.0[CLOSING_AT as usize] != 0
    }

    pub(crate) fn counted(&self) -> bool {
        self.0[COUNTED_AT as usize] != 0
    }

    /// Whether a sync has failed, or may have failed, since everything on record was on disk.
    pub(crate) fn doubt(&self) -> bool {
        self.0[DOUBT_AT as usize] != 0
    }

    /// The durability this upload has been promised; garbage promises nothing.
    pub(crate) fn level(&self) -> Durability {
        let all = [Durability::Chunk, Durability::Complete];
        let number = self.0[LEVEL_AT as usize];
        all.into_iter().find(|&known| known as u8 == number).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let expected = Digests { crc32c: Some(5), sha256: Some([6; 32]) };
        Header::new(Shape { total_size: 10, chunk_count: 3, grid: 4 }, "a.bin", Some([7; 32]), expected)
    }

    fn head(header: &Header) -> [u8; HEAD_SIZE] {
        let phase = PhaseRecord { phase: Phase::Receiving, crc32c: 0, tag: 0, grid_is_void: false };
        let bytes = header.first_bytes("", phase, Mark { value: 0, tag: 0 }, Durability::Process);
        bytes.try_into().unwrap()
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(Header::decode(&head(&header())).unwrap(), header());
        assert_eq!(header().slot_at(0), 576);
        assert_eq!(header().state_size(), Some(576 + 96));
        let plain = Header { owner: None, expected: Digests::default(), ..header() };
        assert_eq!(Header::decode(&head(&plain)).unwrap(), plain);
    }

    #[test]
    fn the_first_version_is_read() {
        let first = Header { version: 1, owner: None, expected: Digests::default(), ..header() };
        let mut bytes = head(&first);
        bytes[256..].fill(0xee); // the name and the table begin there
        assert_eq!(Header::decode(&bytes).unwrap(), first);
        assert_eq!((first.slot_at(0), first.state_size()), (320, Some(320 + 96)));
    }

    #[test]
    fn any_changed_bit_of_a_header_is_noticed() {
        for bit in (0..64 * 8).chain(256 * 8..320 * 8) {
            let mut bytes = head(&header());
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bytes).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&[0; HEAD_SIZE]).is_err());
        assert!(Header::decode(&[0xff; HEAD_SIZE]).is_err());
    }

    #[test]
    fn a_table_no_file_can_hold_has_no_size() {
        let mut huge = header();
        huge.shape.chunk_count = crate::MAX_NUMBER;
        assert_eq!(huge.state_size(), None);
        huge.shape.chunk_count = crate::MAX_NUMBER / SLOT_SIZE;
        assert_eq!(huge.state_size(), None);
    }

    #[test]
    fn slots_and_records_come_back() {
        let slot = Slot { offset: 1, length: 2, capacity: 3, crc32c: 4, tag: 5 };
        assert_eq!(Slot::decode(&slot.encode()), slot);
        assert_eq!(slot.cleared(), Slot { offset: 1, capacity: 3, ..Slot::default() });
        let mut bytes = [0; RECORDS_SIZE];
        let mut put = |at: u64, record: [u8; 32]| bytes[at as usize..at as usize + 32].copy_from_slice(&record);
        let phase = PhaseRecord { phase: Phase::Complete, crc32c: 6, tag: 7, grid_is_void: true };
        let (tail, full) = (Mark { value: 8, tag: 9 }, Mark { value: 10, tag: 11 });
        let progress = Progress { number: 12, offset: 13, tag: 14 };
        put(PHASE_AT, phase.encode());
        put(TAIL_AT, tail.encode());
        put(FULL_AT, full.encode());
        put(REWRITE_AT, progress.encode());
        let read = Records(bytes.to_vec());
        assert_eq!(read.phase(), Some(phase));
        assert_eq!((read.tail(), read.full(), read.rewrite()), (Some(tail), Some(full), Some(progress)));
        assert!(!read.closing() && !read.counted());
        let hashing = Hashing { number: 15, tag: 16, state: [17; HASH_STATE_SIZE] };
        assert_eq!(Hashing::decode(&hashing.encode()), Some(hashing));
        assert_eq!(Hashing::decode(&[0; HASHING_SIZE]), None);
    }

    #[test]
    fn what_was_never_written_is_no_record() {
        let read = Records(vec![0; RECORDS_SIZE]);
        assert_eq!((read.phase(), read.tail(), read.full(), read.rewrite()), (None, None, None, None));
    }
}

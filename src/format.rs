//! The `state` file, byte by byte. All numbers are little-endian.
//!
//! ```text
//!   0  header, written once: magic, format version, shape, file name's length and checksum; own checksum
//!  64  phase     what the upload is, the whole file's checksum, under which tag its bytes were written
//!  96  tail      where the next chunk that is not on the grid goes
//! 128  rewrite   how far the chunks have been copied into order
//! 160  full      up to which chunk the table is known to be full: a hint
//! 192  closing   not zero: a completer is waiting for all slots (see `lock`)
//! 193  level     the durability this upload has been promised
//! 256  file name
//!  T   the table: one slot of 32 bytes per chunk; T is the first multiple of 64 behind the name
//! ```
//!
//! Each record is 32 bytes, never straddles a sector, and ends with its own CRC-32C; one that does not match it was
//! never written. Slots have no checksum: their tag says whether they can be believed (see `trust`).

use crate::Durability;
use crate::crc::crc32c;
use crate::placement::Shape;

const MAGIC: [u8; 8] = *b"CHUNKUPL";
const VERSION: u32 = 1;

/// What precedes the file name.
pub(crate) const RECORDS_SIZE: usize = 256;
/// The size of a slot.
pub(crate) const SLOT_SIZE: u64 = 32;
pub(crate) const PHASE_AT: u64 = 64;
pub(crate) const TAIL_AT: u64 = 96;
pub(crate) const REWRITE_AT: u64 = 128;
pub(crate) const FULL_AT: u64 = 160;
pub(crate) const CLOSING_AT: u64 = 192;
pub(crate) const LEVEL_AT: u64 = 193;
pub(crate) const NAME_AT: u64 = RECORDS_SIZE as u64;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// What never changes after the upload was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub shape: Shape,
    pub name_length: u32,
    pub name_crc: u32,
}

impl Header {
    pub(crate) fn new(shape: Shape, file_name: &str) -> Header {
        Header { shape, name_length: file_name.len() as u32, name_crc: crc32c(file_name.as_bytes()) }
    }

    pub(crate) fn encode(&self) -> [u8; PHASE_AT as usize] {
        let mut bytes = [0; PHASE_AT as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.name_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.shape.total_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.shape.chunk_count.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.shape.grid.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.name_crc.to_le_bytes());
        let check = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Everything in front of the table, as it is at first.
    pub(crate) fn first_bytes(&self, name: &str, phase: PhaseRecord, tail: Mark, level: Durability) -> Vec<u8> {
        let mut bytes = vec![0; NAME_AT as usize];
        let mut put = |at: u64, part: &[u8]| bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
        put(0, &self.encode());
        put(PHASE_AT, &phase.encode());
        put(TAIL_AT, &tail.encode());
        put(LEVEL_AT, &[level as u8]);
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    /// Says what is wrong with bytes that are no header.
    pub(crate) fn decode(bytes: &[u8; RECORDS_SIZE]) -> Result<Header, &'static str> {
        if bytes[0..8] != MAGIC {
            return Err("it does not begin like one");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("its format is of another version");
        }
        if u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err("its header fails its checksum");
        }
        let shape = Shape { total_size: u64_at(bytes, 16), chunk_count: u64_at(bytes, 24), grid: u64_at(bytes, 32) };
        Ok(Header { shape, name_length: u32_at(bytes, 12), name_crc: u32_at(bytes, 40) })
    }

    /// Where the table begins.
    fn table_at(&self) -> u64 {
        (NAME_AT + u64::from(self.name_length)).next_multiple_of(64)
    }

    /// Where a chunk's slot lies.
    pub(crate) fn slot_at(&self, number: u64) -> u64 {
        self.table_at() + number * SLOT_SIZE
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
        Slot { offset: self.offset, capacity: self.capacity, ..Slot::default() }
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

/// How far the chunks have been copied into order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The next chunk to copy.
    pub number: u64,
    /// Where in `ordered` it goes.
    pub offset: u64,
    pub tag: u32,
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

/// The first bytes of a `state` file, as they were when they were read.
pub(crate) struct Records(pub [u8; RECORDS_SIZE]);

impl Records {
    fn record(&self, at: u64) -> Option<([u64; 2], [u32; 2])> {
        unseal(&self.0[at as usize..at as usize + 32])
    }

    /// `None` if it is garbage, or was read while it was being written.
    pub(crate) fn phase(&self) -> Option<PhaseRecord> {
        let ([phase, grid_is_void], [crc32c, tag]) = self.record(PHASE_AT)?;
        let all = [Phase::Receiving, Phase::Ordered, Phase::Complete, Phase::Gone];
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

    pub(crate) fn rewrite(&self) -> Option<Progress> {
        let ([number, offset], [tag, _]) = self.record(REWRITE_AT)?;
        Some(Progress { number, offset, tag })
    }

    pub(crate) fn closing(&self) -> bool {
        self.0[CLOSING_AT as usize] != 0
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
        Header::new(Shape { total_size: 10, chunk_count: 3, grid: 4 }, "a.bin")
    }

    fn records(header: &Header) -> [u8; RECORDS_SIZE] {
        let mut bytes = [0; RECORDS_SIZE];
        bytes[..64].copy_from_slice(&header.encode());
        bytes
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(Header::decode(&records(&header())).unwrap(), header());
        assert_eq!(header().slot_at(0), 320);
        assert_eq!(header().state_size(), Some(320 + 96));
    }

    #[test]
    fn any_changed_bit_of_a_header_is_noticed() {
        for bit in 0..64 * 8 {
            let mut bytes = records(&header());
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bytes).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&[0; RECORDS_SIZE]).is_err());
        assert!(Header::decode(&[0xff; RECORDS_SIZE]).is_err());
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
        let read = Records(bytes);
        assert_eq!(read.phase(), Some(phase));
        assert_eq!((read.tail(), read.full(), read.rewrite()), (Some(tail), Some(full), Some(progress)));
        assert!(!read.closing());
    }

    #[test]
    fn what_was_never_written_is_no_record() {
        let read = Records([0; RECORDS_SIZE]);
        assert_eq!((read.phase(), read.tail(), read.full(), read.rewrite()), (None, None, None, None));
    }
}

//! The header of `state`: the facts of an upload that never change.

use std::result::Result;

use crate::api::chunk::{MAX_FILE_NAME, MAX_NUMBER};
use crate::api::options::Durability;
use crate::rules::crc::crc32c;
use crate::rules::digests::Digests;
use crate::rules::format::bytes::{u32_at, u64_at};
use crate::rules::format::layout::{
    BARE_VERSION, HAS_CRC32C, HAS_SHA256, HEAD_SIZE, IDENTITY_AT, IDENTITY_SIZE, LEVEL_AT, MAGIC, RECORDS_SIZE,
    REWRITE_AT, SLOT_SIZE, STAGE_AT, TAIL_AT, VERSION,
};
use crate::rules::format::records::{Mark, NEVER_BEGUN, Progress, StageRecord};
use crate::rules::placement::Shape;

/// The fault of a `state` that another version of this library wrote.
pub(crate) const OTHER_VERSION: &str = "its format is of another version";

/// The facts of an upload that never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    version: u32,
    pub shape: Shape,
    pub name_length: u32,
    pub name_crc: u32,
    /// The digest of the owner; `None` if the upload has none.
    pub owner: Option<[u8; 32]>,
    /// The checksums of the whole file that the first chunk declared.
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

    pub(crate) fn encode(&self) -> [u8; STAGE_AT as usize] {
        let mut bytes = [0; STAGE_AT as usize];
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

    /// The first content of `state` before the table.
    pub(crate) fn first_bytes(&self, name: &str, stage: StageRecord, tail: Mark, level: Durability) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_SIZE];
        let mut put = |at: u64, part: &[u8]| bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
        put(0, &self.encode());
        put(STAGE_AT, &stage.encode());
        put(TAIL_AT, &tail.encode());
        put(REWRITE_AT, &Progress { number: NEVER_BEGUN, ..Progress::default() }.encode());
        put(LEVEL_AT, &[level as u8]);
        put(IDENTITY_AT as u64, &self.identity());
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    /// The error says what is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8; HEAD_SIZE]) -> Result<Header, &'static str> {
        if bytes[0..8] != MAGIC {
            return Err("it does not begin with CHUNKUPL");
        }
        let version = u32_at(bytes, 8);
        if !(BARE_VERSION..=VERSION).contains(&version) {
            return Err(OTHER_VERSION);
        }
        if u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err("its header fails its checksum");
        }
        // Both versions had this limit. Without it, a forged header would decide how much memory the name takes.
        if u32_at(bytes, 12) as usize > MAX_FILE_NAME {
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

    pub(crate) fn name_at(&self) -> u64 {
        if self.version == BARE_VERSION { RECORDS_SIZE as u64 } else { HEAD_SIZE as u64 }
    }

    fn table_at(&self) -> u64 {
        (self.name_at() + u64::from(self.name_length)).next_multiple_of(64)
    }

    pub(crate) fn slot_at(&self, number: u64) -> u64 {
        self.table_at() + number * SLOT_SIZE
    }

    /// The size of the finished upload on disk, with its directory and `state`, as the store's sum counts it. It never
    /// changes, so the sum loses what was added.
    pub(crate) fn size_on_disk(&self) -> u64 {
        const BLOCK: u64 = 4096;
        let state = self.state_size().unwrap_or(MAX_NUMBER).next_multiple_of(BLOCK);
        self.shape.total_size.saturating_add(state).saturating_add(BLOCK)
    }

    /// The size of the whole `state` file; `None` if no file can be so large.
    pub(crate) fn state_size(&self) -> Option<u64> {
        let table = self.shape.chunk_count.checked_mul(SLOT_SIZE)?;
        table.checked_add(self.table_at()).filter(|&size| size <= MAX_NUMBER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::format::records::Stage;
    use crate::rules::tag::Tag;

    fn header() -> Header {
        let expected = Digests { crc32c: Some(5), sha256: Some([6; 32]) };
        Header::new(Shape { total_size: 10, chunk_count: 3, grid: 4 }, "a.bin", Some([7; 32]), expected)
    }

    fn head(header: &Header) -> [u8; HEAD_SIZE] {
        let stage = StageRecord { stage: Stage::Receiving, crc32c: 0, tag: Tag::from_number(0), grid_is_void: false };
        let bytes = header.first_bytes("", stage, Mark { value: 0, tag: Tag::from_number(0) }, Durability::Process);
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
        huge.shape.chunk_count = MAX_NUMBER;
        assert_eq!(huge.state_size(), None);
        huge.shape.chunk_count = MAX_NUMBER / SLOT_SIZE;
        assert_eq!(huge.state_size(), None);
    }
}

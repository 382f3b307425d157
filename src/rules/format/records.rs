//! The records of `state`: the facts that change while an upload is received, completed and moved.

use crate::rules::crc::crc32c;
use crate::rules::format::bytes::{Record, seal, u32_at, u64_at};
use crate::rules::format::layout::SLOT_SIZE;
use crate::rules::placement::Slot;
use crate::rules::tag::Tag;

/// The stage of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Chunks may come; they lie in `data`.
    Receiving = 1,
    /// All chunks lie in order in `ordered`; `data` is removed next.
    Ordered = 2,
    /// The finished file is `file`, unless its owner took it.
    Complete = 3,
    /// The owner took the finished file, and a call has noticed it.
    Gone = 4,
    /// The first chunk is being received: other calls find no upload yet.
    Creating = 5,
    /// The upload is removed: no call finds it, and its files are removed next.
    Removed = 6,
}

impl Stage {
    /// Whether calls other than a cleanup find an upload.
    pub(crate) fn is_upload(self) -> bool {
        !matches!(self, Stage::Creating | Stage::Removed)
    }
}

/// The stage, and the facts about the finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageRecord {
    pub stage: Stage,
    /// The checksum of the whole file, from stage `Complete` on.
    pub crc32c: u32,
    /// While receiving: the tag under which that stage began. From stage `Ordered` on: the tag under which the file's
    /// bytes, names and records were written.
    pub tag: Tag,
    /// While receiving: the file was finished before, so the chunks lie in order, and no longer on the grid. From stage
    /// `Ordered` on: a rewrite put the chunks in order.
    pub grid_is_void: bool,
}

/// A number that is valid under one tag: the end of the tail, or up to where the table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub value: u64,
    pub tag: Tag,
}

/// This value in place of the next chunk to copy means that no rewrite ever began. After a rewrite that was given up,
/// the record is zeros.
pub(crate) const NEVER_BEGUN: u64 = u64::MAX;

/// How far the chunks have been copied into order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The next chunk to copy.
    pub number: u64,
    /// The offset of that chunk in `ordered`.
    pub offset: u64,
    pub tag: Tag,
}

/// How far the whole file's SHA-256 has been computed: up to the chunk `number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashing {
    pub number: u64,
    pub tag: Tag,
    /// The hash function's own state.
    pub state: [u8; HASH_STATE_SIZE],
}

/// The size of SHA-256's state: eight words, the count of blocks, and the block that is not full yet.
pub(crate) const HASH_STATE_SIZE: usize = 104;
pub(crate) const HASHING_SIZE: usize = 128;

impl Hashing {
    pub(crate) fn encode(&self) -> [u8; HASHING_SIZE] {
        let mut bytes = [0; HASHING_SIZE];
        bytes[0..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tag.number().to_le_bytes());
        bytes[12..12 + HASH_STATE_SIZE].copy_from_slice(&self.state);
        let check = crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` if it was never written.
    pub(crate) fn decode(bytes: &[u8; HASHING_SIZE]) -> Option<Hashing> {
        let state = bytes[12..12 + HASH_STATE_SIZE].try_into().expect("the range has this size");
        (u32_at(bytes, 124) == crc32c(&bytes[..124])).then(|| Hashing {
            number: u64_at(bytes, 0),
            tag: Tag::from_number(u32_at(bytes, 8)),
            state,
        })
    }
}

impl StageRecord {
    pub(crate) fn encode(&self) -> Record {
        seal([self.stage as u64, self.grid_is_void.into()], [self.crc32c, self.tag.number()])
    }
}

impl Slot {
    pub(crate) fn encode(&self) -> [u8; SLOT_SIZE as usize] {
        let mut bytes = [0; SLOT_SIZE as usize];
        bytes[0..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.tag.number().to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Slot {
        Slot {
            offset: u64_at(bytes, 0),
            length: u64_at(bytes, 8),
            capacity: u64_at(bytes, 16),
            crc32c: u32_at(bytes, 24),
            tag: Tag::from_number(u32_at(bytes, 28)),
        }
    }
}

impl Mark {
    pub(crate) fn encode(&self) -> Record {
        seal([self.value, 0], [self.tag.number(), 0])
    }
}

impl Progress {
    pub(crate) fn encode(&self) -> Record {
        seal([self.number, self.offset], [self.tag.number(), 0])
    }
}

//! The first bytes of `state`, read at once: the head, most names, and the tables of short uploads.

use std::ops::Range;

use crate::format::{HEAD_SIZE, Header, RECORDS_SIZE, Records, SLOT_SIZE, Slot};

/// How much is read when nothing is known of the upload, or its table is short: it costs hardly more than less, and has
/// the tables of up to a hundred chunks.
pub(crate) const BEGINNING_SIZE: usize = 4096;

/// As it was when it was read: all records, and whatever else was read with them.
pub(crate) struct Beginning(Vec<u8>);

impl Beginning {
    /// At least the records.
    pub(crate) fn new(bytes: Vec<u8>) -> Beginning {
        assert!(bytes.len() >= RECORDS_SIZE);
        Beginning(bytes)
    }

    /// Of the first version some of the name and the table, and zeros behind its end.
    pub(crate) fn head(&self) -> [u8; HEAD_SIZE] {
        let mut head = [0; HEAD_SIZE];
        let length = self.0.len().min(HEAD_SIZE);
        head[..length].copy_from_slice(&self.0[..length]);
        head
    }

    pub(crate) fn records(&self) -> Records {
        Records(self.0[..RECORDS_SIZE].try_into().expect("so many bytes"))
    }

    /// The file name's bytes, if they are all in it.
    pub(crate) fn name(&self, header: &Header) -> Option<&[u8]> {
        let at = header.name_at() as usize;
        self.0.get(at..at + header.name_length as usize)
    }

    /// These slots, if they are all in it.
    pub(crate) fn slots(&self, header: &Header, numbers: Range<u64>) -> Option<impl Iterator<Item = Slot>> {
        let at = |number| usize::try_from(header.slot_at(number)).ok();
        let table = self.0.get(at(numbers.start)?..at(numbers.end)?)?;
        Some(table.chunks_exact(SLOT_SIZE as usize).map(Slot::decode))
    }
}

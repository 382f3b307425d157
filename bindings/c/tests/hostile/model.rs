//! What was accepted, and so what a file has to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where an upload is: the same uid may be in several stores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) prefix: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Upload {
    pub(super) total_size: u64,
    pub(super) chunk_count: u64,
    pub(super) file_name: Vec<u8>,
    pub(super) owner: Option<Vec<u8>>,
    pub(super) chunks: BTreeMap<u64, Vec<u8>>,
    /// `get` may answer that the file is not what was declared.
    pub(super) declared: bool,
    /// The file was there.
    pub(super) finished: bool,
    /// And was taken.
    pub(super) taken: bool,
    /// A cleanup may have removed it, so that with its key it begins anew.
    pub(super) expired: bool,
    /// Storage failed: a chunk may be the older or the newer.
    pub(super) unsure: bool,
}

impl Upload {
    pub(super) fn received_size(&self) -> u64 {
        self.chunks.values().map(|chunk| chunk.len() as u64).sum()
    }

    pub(super) fn accept(&mut self, number: u64, content: &[u8]) {
        let before = self.chunks.insert(number, content.to_vec());
        if self.finished && !self.unsure {
            assert!(before.is_some_and(|before| before == content), "chunk {number} of a finished file was changed");
        }
    }

    /// What a finished file that is there has to be.
    pub(super) fn check(&self, file: &[u8], crc32c: u32) {
        assert_eq!(file.len() as u64, self.total_size);
        assert_eq!(crc32c, self::crc32c(file));
        if !self.unsure {
            assert_eq!(self.chunks.len() as u64, self.chunk_count, "finished without all chunks");
            assert!(self.chunks.values().flatten().eq(file), "a wrong file of {} bytes", file.len());
        }
    }
}

/// The CRC-32C, bit by bit: no code of the engine's.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// As a client writes it.
pub(super) fn checksum(content: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Four bytes are five digits, and one of which two bits are used.
    let bits = u64::from(crc32c(content)) << 4;
    let digits: String = (0..6).rev().map(|at| char::from(DIGITS[(bits >> (6 * at) & 63) as usize])).collect();
    format!("crc32c=:{digits}==:")
}

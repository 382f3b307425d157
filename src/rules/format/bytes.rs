//! Numbers in records, little-endian, and records that end with their own checksum.

use crate::rules::crc::crc32c;

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// A sealed record: two large numbers, two small ones, a spare word and the checksum.
pub(crate) type Record = [u8; 32];

pub(crate) fn seal(large: [u64; 2], small: [u32; 2]) -> Record {
    let mut bytes = [0; 32];
    bytes[0..8].copy_from_slice(&large[0].to_le_bytes());
    bytes[8..16].copy_from_slice(&large[1].to_le_bytes());
    bytes[16..20].copy_from_slice(&small[0].to_le_bytes());
    bytes[20..24].copy_from_slice(&small[1].to_le_bytes());
    let check = crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&check.to_le_bytes());
    bytes
}

pub(crate) fn unseal(bytes: &[u8]) -> Option<([u64; 2], [u32; 2])> {
    (u32_at(bytes, 28) == crc32c(&bytes[..28]))
        .then(|| ([u64_at(bytes, 0), u64_at(bytes, 8)], [u32_at(bytes, 16), u32_at(bytes, 20)]))
}

//! CRC-32C (RFC 3720 appendix B.4): of bytes, and of a whole from the checksums of its parts.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of these bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of bytes that come in pieces.
pub(crate) struct Crc32c(Digest);

impl Crc32c {
    pub(crate) fn new() -> Crc32c {
        Crc32c(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize() as u32
    }
}

/// The checksum of a whole, from the checksums and lengths of its parts in order.
///
/// Appending `length` bytes multiplies the checksum before them by x^(8·length) modulo the polynomial. Most parts of a
/// file have the same length, so that factor is kept.
pub(crate) struct Combined {
    crc: u32,
    length: u64,
    factor: u32,
}

impl Combined {
    pub(crate) fn new() -> Combined {
        Combined { crc: 0, length: 0, factor: ONE }
    }

    pub(crate) fn append(&mut self, crc: u32, length: u64) {
        if length != self.length {
            (self.length, self.factor) = (length, power(length));
        }
        self.crc = multiply(self.factor, self.crc) ^ crc;
    }

    pub(crate) fn finish(self) -> u32 {
        self.crc
    }
}

/// The polynomial of CRC-32C, bits reflected: bit 31 stands for x^0.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;

/// a·b modulo the polynomial.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 0 { b >> 1 } else { (b >> 1) ^ POLYNOMIAL };
        bit >>= 1;
    }
    product
}

/// x^(8·2^k) for each k.
const POWERS: [u32; 64] = {
    let mut powers = [0; 64];
    powers[0] = ONE >> 8;
    let mut k = 1;
    while k < 64 {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// x^(8·length).
fn power(length: u64) -> u32 {
    (0..64).filter(|k| length >> k & 1 == 1).fold(ONE, |product, k| multiply(product, POWERS[k]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720 B.4
    }

    #[test]
    fn lengths_beyond_memory_combine_like_their_halves() {
        let mut once = Combined::new();
        let mut twice = Combined::new();
        once.append(0x1234_5678, 1);
        twice.append(0x1234_5678, 1);
        // Zeros of length 2^40 have some checksum z; appending them as two halves must agree.
        let half = {
            let mut zeros = Combined::new();
            let mut part = crc32c(&[0; 1 << 10]);
            for k in 10..39 {
                zeros = Combined::new();
                zeros.append(part, 1 << k);
                zeros.append(part, 1 << k);
                part = zeros.crc;
            }
            zeros.finish()
        };
        let whole = {
            let mut zeros = Combined::new();
            zeros.append(half, 1 << 39);
            zeros.append(half, 1 << 39);
            zeros.finish()
        };
        once.append(whole, 1 << 40);
        twice.append(half, 1 << 39);
        twice.append(half, 1 << 39);
        assert_eq!(once.finish(), twice.finish());
    }

    proptest! {
        #[test]
        fn parts_combine_to_the_checksum_of_the_whole(parts: Vec<Vec<u8>>) {
            let mut combined = Combined::new();
            let mut pieces = Crc32c::new();
            for part in &parts {
                combined.append(crc32c(part), part.len() as u64);
                pieces.update(part);
            }
            let whole = crc32c(&parts.concat());
            prop_assert_eq!(combined.finish(), whole);
            prop_assert_eq!(pieces.finish(), whole);
        }
    }
}

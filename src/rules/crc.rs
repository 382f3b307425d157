//! CRC-32C (RFC 3720 appendix B.4) of bytes, and of a whole from the checksums of its parts.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far crc-fast is set up in this process. Its first call examines the processor and stores the result in a
/// `OnceLock`. A child that is forked while another thread is in that call would wait for that thread for ever.
static SET_UP: AtomicU8 = AtomicU8::new(NOT_BEGUN);
const NOT_BEGUN: u8 = 0;
const BEGUN: u8 = 1;
const DONE: u8 = 2;

/// Sets up crc-fast, unless another thread has begun to. A child that is forked during the setup never uses crc-fast.
pub(crate) fn prepare() {
    if SET_UP.compare_exchange(NOT_BEGUN, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        crc_fast::crc32_iscsi(b"");
        SET_UP.store(DONE, Ordering::Release);
    }
}

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    if SET_UP.load(Ordering::Acquire) == DONE { crc_fast::crc32_iscsi(bytes) } else { without_state(bytes) }
}

/// The CRC-32C, computed byte by byte. Needs no setup.
fn without_state(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let (mut table, mut byte) = ([0; 256], 0);
        while byte < 256 {
            // Multiplies by x eight times, as `multiply` does once for each bit.
            let (mut rest, mut bit) = (byte as u32, 0);
            while bit < 8 {
                rest = if rest & 1 == 0 { rest >> 1 } else { (rest >> 1) ^ POLYNOMIAL };
                bit += 1;
            }
            table[byte] = rest;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, byte| (crc >> 8) ^ TABLE[(crc as u8 ^ byte) as usize])
}

/// The checksum of bytes that come in pieces.
pub(crate) struct Crc32c(Combined);

impl Crc32c {
    pub(crate) fn new() -> Crc32c {
        Crc32c(Combined::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.append(crc32c(bytes), bytes.len() as u64);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finish()
    }
}

/// The checksum of a whole, from the checksums and lengths of its parts in order.
///
/// Appending `length` bytes multiplies the checksum before them by x^(8·length) modulo the polynomial. Most parts of a
/// file have the same length, so the factor is kept. After many parts of one length, a table has the product for each
/// byte.
pub(crate) struct Combined {
    crc: u32,
    length: u64,
    factor: u32,
    /// How many parts of this length came in a row.
    count: u32,
    multiples: Option<Box<[[u32; 256]; 4]>>,
}

impl Combined {
    pub(crate) fn new() -> Combined {
        Combined { crc: 0, length: 0, factor: ONE, count: 0, multiples: None }
    }

    pub(crate) fn append(&mut self, crc: u32, length: u64) {
        /// Making the table takes as long as this many multiplications without it.
        const WORTH_A_TABLE: u32 = 64;
        if length != self.length {
            (self.length, self.factor) = (length, power(length));
            (self.count, self.multiples) = (0, None);
        }
        self.count = self.count.saturating_add(1);
        if self.count == WORTH_A_TABLE {
            self.multiples = Some(multiples(self.factor));
        }
        let moved = match &self.multiples {
            Some(table) => {
                self.crc.to_le_bytes().iter().zip(&**table).fold(0, |sum, (byte, of)| sum ^ of[*byte as usize])
            }
            None => multiply(self.factor, self.crc),
        };
        self.crc = moved ^ crc;
    }

    pub(crate) fn finish(self) -> u32 {
        self.crc
    }
}

/// The products of `factor` and each value of each byte of a checksum.
fn multiples(factor: u32) -> Box<[[u32; 256]; 4]> {
    let mut table = Box::new([[0; 256]; 4]);
    for (place, of) in table.iter_mut().enumerate() {
        for byte in 1..256_usize {
            let lowest = byte & byte.wrapping_neg();
            // Only single bits are multiplied; all other products are their sums.
            of[byte] = if byte == lowest {
                multiply(factor, (byte as u32) << (8 * place))
            } else {
                of[byte ^ lowest] ^ of[lowest]
            };
        }
    }
    table
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
        assert_eq!(without_state(b"123456789"), 0xe306_9283);
        assert_eq!(without_state(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn lengths_beyond_memory_combine_like_their_halves() {
        let mut once = Combined::new();
        let mut twice = Combined::new();
        once.append(0x1234_5678, 1);
        twice.append(0x1234_5678, 1);
        // Appending 2^40 zeros at once and as two halves must agree.
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

    #[test]
    fn many_parts_of_one_length_combine_by_the_table() {
        let parts: Vec<[u8; 7]> =
            (0..300_u32).map(|n| (u64::from(n) * 0x9e37_79b9).to_le_bytes()[..7].try_into().unwrap()).collect();
        let mut combined = Combined::new();
        combined.append(crc32c(b"before"), 6);
        parts.iter().for_each(|part| combined.append(crc32c(part), 7));
        combined.append(crc32c(b"beyond"), 6);
        assert_eq!(combined.finish(), crc32c(&[b"before", &parts.concat()[..], b"beyond"].concat()));
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
            prepare();
            prop_assert_eq!((crc32c(&parts.concat()), without_state(&parts.concat())), (whole, whole));
        }
    }
}

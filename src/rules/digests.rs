//! Checksums that clients send: of a chunk, and of the whole file.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::api::chunk::Chunk;
use crate::api::error::{Error, Result, quote};
use crate::rules::crc::crc32c;

/// The checksums of the same bytes that a client gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Digests {
    pub crc32c: Option<u32>,
    pub sha256: Option<[u8; 32]>,
}

impl Digests {
    /// Reads a dictionary of algorithms and byte sequences (RFC 9530 §2, RFC 8941 §3.2 and §3.3.5): `sha-256=:…:`,
    /// several separated by commas. CRC-32C is four bytes, the highest first. Unknown algorithms are ignored if a known
    /// one is present. A value with only unknown ones is refused, so that no client relies on a check that was not
    /// made.
    pub(crate) fn parse(parameter: &str, text: &str) -> Result<Digests> {
        let refuse = |what: &str| Error::InvalidArgument(format!("{parameter} {} {what}", quote(text)));
        let mut digests = Digests::default();
        if text.is_empty() {
            return Ok(digests);
        }
        for member in text.split(',') {
            let (name, value) = member
                .trim_matches([' ', '\t'])
                .split_once('=')
                .ok_or_else(|| refuse("is not written like sha-256=:<base64>:"))?;
            let encoded = value.strip_prefix(':').and_then(|value| value.strip_suffix(':'));
            let bytes = encoded.and_then(|value| BASE64_STANDARD.decode(value).ok());
            let bytes = bytes.ok_or_else(|| refuse("holds a value that is not base64 between colons"))?;
            let wrong_length = |_| refuse(&format!("has a value of {} bytes for {name}", bytes.len()));
            match name {
                "crc32c" => {
                    digests.crc32c = Some(u32::from_be_bytes(bytes.as_slice().try_into().map_err(wrong_length)?));
                }
                "sha-256" => digests.sha256 = Some(bytes.as_slice().try_into().map_err(wrong_length)?),
                _ => {}
            }
        }
        if digests == Digests::default() {
            return Err(refuse("has neither crc32c nor sha-256"));
        }
        Ok(digests)
    }
}

/// Compares the chunk with its `checksum`, and returns its CRC-32C.
pub(crate) fn checked_crc32c(chunk: &Chunk<'_>) -> Result<u32> {
    let crc32c = crc32c(chunk.content);
    let expected = Digests::parse("checksum", chunk.checksum)?;
    let name = if expected.crc32c.is_some_and(|expected| expected != crc32c) {
        "crc32c"
    } else if expected.sha256.is_some_and(|expected| expected != *Sha256::digest(chunk.content)) {
        "sha-256"
    } else {
        return Ok(crc32c);
    };
    let (number, size) = (chunk.chunk_number, chunk.content.len());
    Err(Error::ChecksumMismatch(format!("chunk {number} of {size} bytes does not match its {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Digests> {
        Digests::parse("checksum", text).ok()
    }

    #[test]
    fn checksums_are_read_as_rfc_9530_writes_them() {
        // RFC 9530 appendix B.1: the digest of {"hello": "world"} with a line feed.
        let text = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        let sha256: [u8; 32] = Sha256::digest(b"{\"hello\": \"world\"}\n").into();
        assert_eq!(parse(text), Some(Digests { crc32c: None, sha256: Some(sha256) }));
        let both = format!("crc32c=:4waSgw==:, {text}");
        assert_eq!(parse(&both), Some(Digests { crc32c: Some(crc32c(b"123456789")), sha256: Some(sha256) }));
        assert_eq!(parse("sha-512=:AAAA:,crc32c=:AAAAAA==:").unwrap().crc32c, Some(0));
        assert_eq!(parse(""), Some(Digests::default()));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for bad in [
            "sha-256",
            "sha-256=",
            "sha-256=::",
            "sha-256=:AAAA:",
            "sha-256=AAAA",
            "crc32c=:AAAAAA==",
            "crc32c=:????????:",
            "sha-512=:AAAA:",
            ",",
            "crc32c=:AAAAAA==:,",
            "CRC32C=:AAAAAA==:",
            "e3069283",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_chunk_is_compared_with_all_checksums_that_came_with_it() {
        fn chunk(checksum: &str) -> Chunk<'_> {
            Chunk { content: b"123456789", checksum, ..Chunk::default() }
        }
        let sha = "sha-256=:FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=:";
        assert_eq!(checked_crc32c(&chunk("")).unwrap(), 0xe306_9283);
        assert!(checked_crc32c(&chunk("crc32c=:4waSgw==:")).is_ok());
        assert!(checked_crc32c(&chunk(sha)).is_ok());
        let kind = |checksum: &str| checked_crc32c(&chunk(checksum)).unwrap_err().kind();
        assert_eq!(kind("crc32c=:4waSgg==:"), crate::api::error::ErrorKind::ChecksumMismatch);
        assert_eq!(kind(&format!("{sha},crc32c=:4waSgg==:")), crate::api::error::ErrorKind::ChecksumMismatch);
        assert_eq!(kind("md5=:AAAA:"), crate::api::error::ErrorKind::InvalidArgument);
    }
}

//! The name and only secret of an upload.

use std::fmt;

use crate::error::{Error, Result, quote};
use crate::sys;

const DIGITS: usize = 32;

/// The id of an upload: 32 lower-case hexadecimal digits, of which 122 bits are random (UUID version 4, RFC 9562 §5.4), or
/// derived from an upload key with a secret of the store.
///
/// A client that knows it may add to the upload and take its file, so [`fmt::Debug`] shows eight digits only;
/// [`Uid::as_str`] and [`fmt::Display`] give it whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uid([u8; DIGITS]);

impl Uid {
    /// A new, random one.
    pub(crate) fn random() -> Result<Uid> {
        let bytes = sys::random().map_err(|error| Error::os("cannot read", "/dev/urandom", error))?;
        Ok(Uid::of(uuid::Builder::from_random_bytes(bytes).into_uuid()))
    }

    /// One made of a keyed digest (UUID version 8, RFC 9562 §5.8), with as many of its bits as a random one has.
    pub(crate) fn derived(digest: [u8; 16]) -> Uid {
        Uid::of(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }

    fn of(uuid: uuid::Uuid) -> Uid {
        let mut digits = [0; DIGITS];
        uuid.simple().encode_lower(&mut digits);
        Uid(digits)
    }

    /// What a client sent. Anything malformed is `not_found`, like an unknown uid; the check touches no file.
    pub fn parse(text: &str) -> Result<Uid> {
        let digit = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        match <[u8; DIGITS]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(digit) => Ok(Uid(digits)),
            _ => Err(Error::NotFound { uid: quote(&text.chars().take(8).collect::<String>()) }),
        }
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    /// The part that may be shown in a log.
    pub(crate) fn shown(&self) -> String {
        format!("{}…", &self.as_str()[..8])
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uid({})", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_uids_parse_and_differ() {
        let (a, b) = (Uid::random().unwrap(), Uid::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(Uid::parse(a.as_str()).unwrap(), a);
    }

    #[test]
    fn malformed_uids_are_not_found() {
        let good = Uid::random().unwrap();
        let upper = good.as_str().to_uppercase();
        let long = format!("{good}0");
        let traversal = format!("../{}", &good.as_str()[3..]);
        for bad in ["", "x", &upper, &long, &traversal, "日本日本日本日本日本日", &good.as_str()[1..]] {
            if bad != good.as_str() {
                assert_eq!(Uid::parse(bad).unwrap_err().kind(), crate::ErrorKind::NotFound, "{bad}");
            }
        }
    }

    #[test]
    fn debug_keeps_the_secret() {
        let uid = Uid::random().unwrap();
        assert!(!format!("{uid:?}").contains(uid.as_str()));
    }
}

//! The uid: the name of an upload, and its only secret.

use std::fmt;
use std::str::FromStr;

use crate::api::error::{Error, Result, quote};

const DIGITS: usize = 32;

/// The id of an upload: 32 lower-case hexadecimal digits. 122 bits are random (UUID version 4, RFC 9562 §5.4), or
/// derived from an upload key and a secret of the store (UUID version 8, §5.8).
///
/// A client that knows the uid may add to the upload and take its file. So [`fmt::Debug`] shows only eight digits.
/// [`Uid::as_str`] and [`fmt::Display`] show all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uid([u8; DIGITS]);

impl Uid {
    /// A uid made of random bytes.
    pub(crate) fn random(bytes: [u8; 16]) -> Uid {
        Uid::of(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// A uid made of a keyed digest (UUID version 8, RFC 9562 §5.8). 122 bits of the digest remain, as many as are
    /// random in a random uid.
    pub(crate) fn derived(digest: [u8; 16]) -> Uid {
        Uid::of(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }

    fn of(uuid: uuid::Uuid) -> Uid {
        let mut digits = [0; DIGITS];
        uuid.simple().encode_lower(&mut digits);
        Uid(digits)
    }

    /// Parses the uid that a client sent. A malformed uid is `not_found`, like an unknown one. Touches no file.
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

/// As [`Uid::parse`].
impl FromStr for Uid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Uid> {
        Uid::parse(text)
    }
}

impl AsRef<str> for Uid {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
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
    use crate::api::error::ErrorKind;

    #[test]
    fn uids_parse_and_differ() {
        let (a, b) = (Uid::random([1; 16]), Uid::random([2; 16]));
        assert_ne!(a, b);
        assert_eq!(Uid::parse(a.as_str()).unwrap(), a);
        assert_eq!(a.to_string().parse::<Uid>().unwrap(), a);
        assert_eq!(a.as_ref(), a.as_str());
    }

    #[test]
    fn malformed_uids_are_not_found() {
        let good = Uid::random([7; 16]);
        let upper = good.as_str().to_uppercase();
        let long = format!("{good}0");
        let traversal = format!("../{}", &good.as_str()[3..]);
        for bad in ["", "x", &upper, &long, &traversal, "日本日本日本日本日本日", &good.as_str()[1..]] {
            if bad != good.as_str() {
                assert_eq!(Uid::parse(bad).unwrap_err().kind(), ErrorKind::NotFound, "{bad}");
            }
        }
    }

    #[test]
    fn debug_keeps_the_secret() {
        let uid = Uid::random([7; 16]);
        assert!(!format!("{uid:?}").contains(uid.as_str()));
    }
}

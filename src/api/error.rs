//! The errors of all calls, with the facts that a caller needs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of the engine's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call. [`Error::kind`] gives the class, with a stable number and name.
///
/// The text is for logs. It names figures, and only the first eight digits of a uid, because a uid is a secret. Text
/// from a client is quoted, escaped and cut. The text never contains content. Clients get [`ErrorKind::name`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request contradicts itself or is malformed. Nothing was stored.
    #[error("{0}")]
    InvalidArgument(String),
    /// The request exceeds a limit. Nothing was stored.
    #[error("{asked} is over the limit {limit} = {value}")]
    LimitExceeded {
        /// The limit's name: an option's name, or `data_size`, which is twice the declared size of the file.
        limit: &'static str,
        /// The limit's value.
        value: u64,
        /// The value that the request needed.
        asked: u64,
    },
    /// A chunk does not match its `checksum`, and was not stored. Or the whole file does not match its `file_digest`.
    #[error("{0}")]
    ChecksumMismatch(String),
    /// There is no upload with this uid, the uid is malformed, or the upload belongs to another owner.
    #[error("upload {uid} not found")]
    NotFound {
        /// The first eight digits of the uid. Of a malformed uid, the first eight characters, quoted and escaped.
        uid: String,
    },
    /// Chunks are missing.
    #[error(
        "upload {uid} is incomplete: {missing_count} of {chunk_count} chunks missing, the first is {first_missing}"
    )]
    Incomplete {
        /// The first eight digits of the uid.
        uid: String,
        /// How many chunks are missing.
        missing_count: u64,
        /// The lowest missing chunk number.
        first_missing: u64,
        /// The declared number of chunks.
        chunk_count: u64,
    },
    /// The chunk contradicts the first chunk's declarations or the finished file. Nothing was stored.
    #[error("{0}")]
    Conflict(String),
    /// All chunks are there, but their sizes do not add up to the declared size. Chunks that are sent again can repair
    /// it.
    #[error("upload {uid} has {received_size} bytes, but {declared_size} were declared")]
    SizeMismatch {
        /// The first eight digits of the uid.
        uid: String,
        /// The sum of the chunks' sizes.
        received_size: u64,
        /// The declared `total_size`.
        declared_size: u64,
    },
    /// The finished file was taken away.
    #[error("upload {uid} is gone: its file was taken away")]
    Gone {
        /// The first eight digits of the uid.
        uid: String,
    },
    /// The operating system refused.
    #[error("{action} {}: {source}", shorten_uids(.path))]
    Io {
        /// What was tried.
        action: String,
        /// Where. Holds the whole uid.
        path: PathBuf,
        /// The operating system's error; has a raw errno.
        source: io::Error,
    },
    /// The disk, a quota, or the configured reserve of free space is exhausted. The upload can be resumed.
    #[error("{action} {}: {source}", shorten_uids(.path))]
    NoSpace {
        /// What was tried.
        action: String,
        /// Where. Holds the whole uid.
        path: PathBuf,
        /// The operating system's error; has a raw errno.
        source: io::Error,
    },
    /// A defect of this library, caught by a binding.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The class of an [`Error`]. Numbers and names are the same in every language and never change.
///
/// 1 to 19: the request is wrong. 20 to 39: the upload does not allow the call. 40 to 59: storage failed. From 90:
/// internal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
#[allow(missing_docs)] // the variants of `Error` with the same names explain them
pub enum ErrorKind {
    InvalidArgument = 1,
    LimitExceeded = 2,
    ChecksumMismatch = 3,
    NotFound = 20,
    Incomplete = 21,
    Conflict = 22,
    SizeMismatch = 23,
    Gone = 24,
    Io = 40,
    NoSpace = 41,
    Internal = 90,
}

impl ErrorKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: &[ErrorKind] = &[
        ErrorKind::InvalidArgument,
        ErrorKind::LimitExceeded,
        ErrorKind::ChecksumMismatch,
        ErrorKind::NotFound,
        ErrorKind::Incomplete,
        ErrorKind::Conflict,
        ErrorKind::SizeMismatch,
        ErrorKind::Gone,
        ErrorKind::Io,
        ErrorKind::NoSpace,
        ErrorKind::Internal,
    ];

    /// The stable number.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The stable name, which clients see.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::LimitExceeded => "limit_exceeded",
            ErrorKind::ChecksumMismatch => "checksum_mismatch",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Incomplete => "incomplete",
            ErrorKind::Conflict => "conflict",
            ErrorKind::SizeMismatch => "size_mismatch",
            ErrorKind::Gone => "gone",
            ErrorKind::Io => "io",
            ErrorKind::NoSpace => "no_space",
            ErrorKind::Internal => "internal",
        }
    }

    /// The HTTP status for this error.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::InvalidArgument | ErrorKind::ChecksumMismatch => 400,
            ErrorKind::LimitExceeded => 413,
            ErrorKind::NotFound => 404,
            ErrorKind::Incomplete | ErrorKind::Conflict | ErrorKind::SizeMismatch => 409,
            ErrorKind::Gone => 410,
            ErrorKind::Io | ErrorKind::Internal => 500,
            ErrorKind::NoSpace => 507,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// For hosts whose calls return [`io::Error`]. The [`Error`] is its inner error ([`io::Error::get_ref`]).
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::InvalidArgument(_) => io::ErrorKind::InvalidInput,
            Error::LimitExceeded { .. } => io::ErrorKind::FileTooLarge,
            Error::ChecksumMismatch(_) | Error::Conflict(_) | Error::SizeMismatch { .. } => io::ErrorKind::InvalidData,
            Error::NotFound { .. } | Error::Gone { .. } => io::ErrorKind::NotFound,
            Error::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            Error::Io { source, .. } | Error::NoSpace { source, .. } => source.kind(),
            Error::Internal(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Error::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            Error::ChecksumMismatch(_) => ErrorKind::ChecksumMismatch,
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::Incomplete { .. } => ErrorKind::Incomplete,
            Error::Conflict(_) => ErrorKind::Conflict,
            Error::SizeMismatch { .. } => ErrorKind::SizeMismatch,
            Error::Gone { .. } => ErrorKind::Gone,
            Error::Io { .. } => ErrorKind::Io,
            Error::NoSpace { .. } => ErrorKind::NoSpace,
            Error::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The operating system's error number, for `io` and `no_space`.
    pub fn os_errno(&self) -> Option<i32> {
        match self {
            Error::Io { source, .. } | Error::NoSpace { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// The path on which the operating system failed, for `io` and `no_space`.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Io { path, .. } | Error::NoSpace { path, .. } => Some(path),
            _ => None,
        }
    }

    /// An error of the operating system: `no_space` or `io`.
    pub(crate) fn os(action: impl Into<String>, path: impl Into<PathBuf>, source: io::Error) -> Error {
        let (action, path) = (action.into(), path.into());
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Error::NoSpace { action, path, source },
            Some(_) => Error::Io { action, path, source },
            // The standard library makes some errors without a number, such as for a short write. Callers are promised
            // a number.
            None => Error::Io { action: format!("{action} ({source})"), path, source: errno(libc::EIO) },
        }
    }
}

/// The `io::Error` with this number.
pub(crate) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Quotes and escapes text from a client, at most 40 characters.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 40;
    let cut: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    let dots = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("\"{cut}{dots}\"")
}

/// A path for a log. Of a uid at the end of a component only the first eight digits are shown.
fn shorten_uids(path: &Path) -> String {
    const UID_DIGITS: usize = 32;
    const SHOWN: usize = 8;
    let shorten = |part: &str| {
        let hidden = part
            .len()
            .checked_sub(UID_DIGITS)
            .filter(|&start| part.as_bytes()[start..].iter().all(u8::is_ascii_hexdigit));
        hidden.map_or_else(|| part.to_owned(), |start| format!("{}…", &part[..start + SHOWN]))
    };
    path.to_string_lossy().split('/').map(shorten).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_an_io_error_it_keeps_its_kind_and_itself() {
        let full = io::Error::from(Error::os("cannot write", "/a", errno(libc::ENOSPC)));
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let inner = full.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).map(Error::kind);
        assert_eq!(inner, Some(ErrorKind::NoSpace));
        assert_eq!(io::Error::from(Error::Gone { uid: String::new() }).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_kind_is_shown_by_its_name() {
        assert_eq!(format!("{:>5}|{:<5}|", ErrorKind::Io, ErrorKind::Gone), "   io|gone |");
    }

    #[test]
    fn names_and_numbers_are_those_of_the_contract() {
        let table: Vec<(i32, &str, u16)> =
            ErrorKind::ALL.iter().map(|k| (k.code(), k.name(), k.http_status())).collect();
        assert_eq!(
            table,
            [
                (1, "invalid_argument", 400),
                (2, "limit_exceeded", 413),
                (3, "checksum_mismatch", 400),
                (20, "not_found", 404),
                (21, "incomplete", 409),
                (22, "conflict", 409),
                (23, "size_mismatch", 409),
                (24, "gone", 410),
                (40, "io", 500),
                (41, "no_space", 507),
                (90, "internal", 500),
            ]
        );
    }

    #[test]
    fn a_message_shows_eight_digits_of_a_uid() {
        let path = "/spool/upload_0123456789abcdef0123456789abcdef/data";
        let error = Error::os("cannot write", path, errno(libc::ENOSPC));
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(error.path(), Some(Path::new(path)));
        let text = error.to_string();
        assert!(text.starts_with("cannot write /spool/upload_01234567…/data: "), "{text}");
    }

    #[test]
    fn client_text_is_quoted_escaped_and_cut() {
        assert_eq!(quote("a\n\"b"), r#""a\n\"b""#);
        assert_eq!(quote(&"x".repeat(41)), format!("\"{}…\"", "x".repeat(40)));
    }
}

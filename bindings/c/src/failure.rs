//! Why a call failed: the engine's error, and which argument was at fault.

use engine::{Error, ErrorKind};

/// What the library's own functions return; an engine's error becomes a [`Failure`] by `?`.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The engine's error, and the name of the parameter or member that caused it, where there is one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) parameter: Option<&'static str>,
}

/// The refusal of an argument.
pub(crate) fn invalid(parameter: &'static str, text: impl Into<String>) -> Failure {
    Failure { error: Error::InvalidArgument(text.into()), parameter: Some(parameter) }
}

impl Failure {
    /// The same refusal once more.
    pub(crate) fn again(&self) -> Failure {
        Failure { error: Error::InvalidArgument(self.error.to_string()), parameter: self.parameter }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let refused = error.kind() == ErrorKind::InvalidArgument;
        let parameter = refused.then(|| named_in(&error.to_string())).flatten();
        Failure { error, parameter }
    }
}

/// What the engine checks. Its message begins with the name, before anything that a client sent.
const CHECKED_BY_THE_ENGINE: [&str; 12] = [
    "chunk_count",
    "chunk_number",
    "total_size",
    "file_name",
    "upload_key",
    "checksum",
    "file_digest",
    "owner",
    "destination",
    "prefix",
    "dir_mode",
    "file_mode",
];

fn named_in(message: &str) -> Option<&'static str> {
    let mut words = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| CHECKED_BY_THE_ENGINE.into_iter().find(|&name| name == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_each_name() {
        let header = include_str!("../../../include/chunked_upload.h");
        for name in CHECKED_BY_THE_ENGINE {
            let declared = [";", ",", ")"]
                .iter()
                .any(|end| [" ", "*"].iter().any(|before| header.contains(&format!("{before}{name}{end}"))));
            assert!(declared, "{name} is neither a parameter nor a member");
        }
    }
}

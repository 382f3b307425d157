//! The types that callers hold: requests, options, answers, errors. Nothing here touches a file.

pub(crate) mod answers;
pub(crate) mod chunk;
pub(crate) mod error;
pub(crate) mod options;
pub(crate) mod uid;

//! The `state` file, byte by byte.

pub(crate) mod bytes;
pub(crate) mod head;
pub(crate) mod header;
pub(crate) mod layout;
pub(crate) mod records;

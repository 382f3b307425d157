//! A directory of a local file system as the store.

pub(crate) mod calls;
pub(crate) mod files;
pub(crate) mod home;
pub(crate) mod upload;

//! One upload, opened for one call.

pub(crate) mod durability;
pub(crate) mod locked;
pub(crate) mod opened;
pub(crate) mod read_head;
pub(crate) mod records;
pub(crate) mod slots;
pub(crate) mod table;

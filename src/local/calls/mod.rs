//! The calls, one file for each verb, and the steps that several calls share.

pub(crate) mod budget;
pub(crate) mod claim_record;
pub(crate) mod cleanup;
pub(crate) mod complete;
pub(crate) mod confirm;
pub(crate) mod copy_across;
pub(crate) mod create;
pub(crate) mod entries;
pub(crate) mod get;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod move_to;
pub(crate) mod moving;
pub(crate) mod receive;
pub(crate) mod remove;
pub(crate) mod resolve;
pub(crate) mod rewrite;
pub(crate) mod secret;
pub(crate) mod secure;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod whole_digest;

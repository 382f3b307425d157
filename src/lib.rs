//! Receives a file in numbered chunks, in any order, from any process, and hands back the assembled file.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("chunked-upload needs Linux on x86-64 or aarch64: it rests on that kernel's locks and file systems");

mod budget;
mod chunk;
mod claim;
mod complete;
mod crc;
mod create;
mod digest;
mod directory;
mod error;
mod expire;
mod format;
mod inspect;
mod life;
mod list;
mod lock;
mod options;
mod owner;
mod pieces;
mod placement;
mod receive;
mod rewrite;
#[cfg(not(feature = "test-seams"))]
mod seam;
#[cfg(feature = "test-seams")]
pub mod seam;
mod space;
mod store;
mod sys;
mod trust;
mod uid;
mod upload;
mod verify;

pub use chunk::{Chunk, Finished, MAX_FILE_NAME, MAX_NUMBER, MAX_OWNER, MAX_UPLOAD_KEY, MIN_BARE_UPLOAD_KEY, Receipt};
pub use error::{Error, ErrorKind, Result};
pub use life::{Cleaned, Expiry, Inspection, Listed, MAX_RANGES, Phase, Removed, Verification};
pub use list::List;
pub use options::{Durability, Options};
pub use store::Store;
pub use uid::Uid;

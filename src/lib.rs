//! Receives a file in numbered chunks, in any order, from any process, and hands back the assembled file.
//!
//! ```
//! use chunked_upload::{Chunk, Expiry, Options, Store};
//! use std::time::Duration;
//!
//! # fn main() -> chunked_upload::Result<()> {
//! # let directory = std::env::temp_dir().join(format!("chunked-upload-example-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory).unwrap();
//! let store = Store::open(directory.join("uploads"), Options::default())?;
//! let chunk = Chunk { file_name: "a.txt", total_size: 10, chunk_count: 2, ..Chunk::default() };
//! let uid = store.handle_chunk(&Chunk { chunk_number: 1, content: b"world", ..chunk })?.upload_uid;
//!
//! // After a break:
//! let missing = store.inspect(uid.as_str(), 0)?.missing;
//! assert_eq!(missing, [0..1].to_vec());
//! store.handle_chunk(&Chunk { upload_uid: uid.as_str(), content: b"hello", ..chunk })?;
//!
//! let upload = store.move_to(uid.as_str(), directory.join("a.txt"), false)?;
//! assert_eq!(std::fs::read(upload.path).unwrap(), b"helloworld");
//!
//! // From time to time:
//! store.cleanup(&Expiry::older_than(Duration::from_secs(86_400)))?;
//! # std::fs::remove_dir_all(&directory).unwrap();
//! # Ok(())
//! # }
//! ```

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("chunked-upload needs Linux on x86-64 or aarch64, because it uses that kernel's locks and file systems");

pub(crate) mod api;
pub(crate) mod local;
pub(crate) mod rules;
mod store;

pub use api::answers::{Cleaned, Expiry, Inspection, Listed, MAX_RANGES, Phase, Removed, Verification};
pub use api::chunk::{
    Chunk, Finished, MAX_FILE_NAME, MAX_NUMBER, MAX_OWNER, MAX_UPLOAD_KEY, MIN_BARE_UPLOAD_KEY, Receipt,
};
pub use api::error::{Error, ErrorKind, Result};
pub use api::options::{Durability, Options};
pub use api::uid::Uid;
pub use local::calls::list::List;
#[cfg(feature = "test-hooks")]
pub use local::files::test_hooks;
pub use store::Store;

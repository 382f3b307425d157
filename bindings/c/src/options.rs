//! `upload_options`: the options of a store, set one by one.

use std::ffi::c_char;

use engine::{Durability, Options};

use crate::error::upload_error;
use crate::failure::{Failure, Result, invalid};
use crate::handle::{self, Handle, Out};
use crate::result::upload_result;
use crate::{args, boundary, guard};

/// A value for upload_options_set_durability: an acknowledged chunk and a finished file survive the
/// death of every process, at any instant, but perhaps not a power failure. The default.
pub const UPLOAD_DURABILITY_PROCESS: i32 = 0;
/// A value for upload_options_set_durability: besides, the finished file survives power failure once
/// upload_get has returned it.
pub const UPLOAD_DURABILITY_COMPLETE: i32 = 1;
/// A value for upload_options_set_durability: besides, every acknowledged chunk survives power failure.
pub const UPLOAD_DURABILITY_CHUNK: i32 = 2;

/// Limits and habits of a store. Made by upload_options_new with the default values, changed by the
/// setters, read by upload_store_open, which makes a copy. It belongs to one thread at a time.
///
/// Options belong to the store handle, not to the directory: two programs may open the same directory
/// with different ones. With the same prefix they see each other's uploads, with different ones not.
///
/// Every setter refuses a value that no store could work with at once: it returns
/// UPLOAD_INVALID_ARGUMENT, as it does when options is NULL, and leaves the options as they were.
/// upload_options_last_error then says why.
pub struct upload_options {
    _private: [u8; 0],
}

impl Handle for upload_options {
    type Value = Set;
}

/// The value of the handle.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) options: Options,
    /// Why the last setter refused its value.
    refused: Option<Failure>,
}

/// New options with the default values, to be freed with upload_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn upload_options_new() -> *mut upload_options {
    guard::or(std::ptr::null_mut(), || handle::into_raw(Set::default()))
}

/// Frees options. NULL is allowed. Stores that were opened with them are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_options_free(options: *mut upload_options) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(options) };
}

/// The largest total_size of a new upload, in bytes; 0 means no limit. Default 0. A larger one is
/// UPLOAD_LIMIT_EXCEEDED. This limit is checked on the first chunk of an upload only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_total_size(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.max_total_size)
}

/// The largest chunk_count of a new upload; 0 means no limit. Default 1,000,000. A larger one is
/// UPLOAD_LIMIT_EXCEEDED. Each chunk takes 32 bytes on disk, and an upload_get of an unfinished upload
/// reads them all: without a limit a client decides how long that takes. This limit is checked on the
/// first chunk of an upload only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_chunk_count(
    options: *mut upload_options,
    chunks: u64,
) -> upload_result {
    put(options, chunks, |options| &mut options.max_chunk_count)
}

/// How many bytes must stay free on the file system after the declared size of a new upload. Default
/// 16 MiB. Where less would stay, the first chunk is answered UPLOAD_NO_SPACE.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_min_free_space(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.min_free_space)
}

/// The most bytes that all uploads of the store together may take on disk; 0 means no limit. Default 0. An
/// upload counts until its file is taken, with its declared size, its table of chunks in blocks of 4 KiB,
/// and 4 KiB for its directory. A first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. Programs with
/// this limit never promise the same room twice. All programs that use a store should set it: uploads made
/// without it count only when the store is counted again. That happens before a first chunk is refused, at
/// most once a second. So a file that was taken without a call of this library makes room a second later,
/// at the latest. If several first chunks with one upload_key arrive at the same moment, each takes room
/// until it is known that they are one upload. Near the limit some may be refused; they succeed when they
/// are sent again.
///
/// What replaced chunks leave does not count. A client that sends chunks of wrong sizes can make an upload
/// take three times its declared size on disk, and four times while upload_get copies its chunks into
/// order. Against hostile clients set the limit to a quarter of the room. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_store_size(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.max_store_size)
}

/// The most uploads in the store, of all owners together; 0 means no limit. Default 0. An upload counts
/// until its file is taken. A first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. Uploads are counted
/// as for upload_options_set_max_store_size. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_uploads(options: *mut upload_options, uploads: u64) -> upload_result {
    put(options, uploads, |options| &mut options.max_uploads)
}

/// 1: the store sees the uploads of every owner, as an administrator's tool does. 0, the default: it sees those
/// without an owner, and a view those of its own. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_all_owners(options: *mut upload_options, all: i32) -> upload_result {
    set(options, |options| {
        options.all_owners = args::flag("all", all)?;
        Ok(())
    })
}

/// What uploads survive: one of the UPLOAD_DURABILITY_ values. Default UPLOAD_DURABILITY_PROCESS. An
/// upload keeps the highest level with which it was ever called. Whatever the level, upload_get returns
/// only the right bytes: after a power failure it reads what was not known to be on disk, compares it
/// with its checksum, and counts damaged chunks as missing.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_durability(options: *mut upload_options, durability: i32) -> upload_result {
    set(options, |options| {
        options.durability = match durability {
            UPLOAD_DURABILITY_PROCESS => Durability::Process,
            UPLOAD_DURABILITY_COMPLETE => Durability::Complete,
            UPLOAD_DURABILITY_CHUNK => Durability::Chunk,
            _ => return Err(invalid("durability", format!("durability is {durability}, not one of the levels"))),
        };
        Ok(())
    })
}

/// What stands before the uid in the names of upload directories: UTF-8, up to 64 bytes, without '/'.
/// Default "".
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_prefix(
    options: *mut upload_options,
    prefix: *const c_char,
) -> upload_result {
    set(options, |options| {
        if prefix.is_null() {
            return Err(invalid("prefix", "prefix is NULL"));
        }
        // SAFETY: a C string, by the header's contract.
        options.prefix = unsafe { args::text("prefix", prefix) }?.to_owned();
        Ok(())
    })
}

/// Permissions of directories, whatever the umask; must include 0700, and only bits of 07777. Default 0700.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_dir_mode(options: *mut upload_options, dir_mode: u32) -> upload_result {
    put(options, dir_mode, |options| &mut options.dir_mode)
}

/// Permissions of files, whatever the umask; must include 0600, and only bits of 0777. Default 0600. The file
/// state, on which the locks are, gets no read permission without write: who can read it can hold up its writers.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_file_mode(options: *mut upload_options, file_mode: u32) -> upload_result {
    put(options, file_mode, |options| &mut options.file_mode)
}

/// Tells once more what the setter returned that was last called for these options, this time with an error
/// that says why the value was refused; UPLOAD_OK if it was accepted, or no setter was called. Fails with
/// UPLOAD_INVALID_ARGUMENT also if options is NULL. Since 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_options_last_error(
    options: *const upload_options,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let error = unsafe { Out::cleared(error) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let set = unsafe { args::required("options", options) }?;
        set.refused.as_ref().map_or(Ok(()), |failure| Err(failure.again()))
    })
}

/// Changes a copy, and keeps it if a store could work with it. Otherwise keeps why not.
fn set(options: *mut upload_options, change: impl FnOnce(&mut Options) -> Result<()>) -> upload_result {
    // SAFETY: NULL is allowed.
    let nowhere = unsafe { Out::cleared(std::ptr::null_mut()) };
    boundary::call(&nowhere, || {
        // SAFETY: NULL or a handle that nobody else uses during the call, by the header's contract.
        let set = unsafe { handle::borrow_mut(options) }.ok_or_else(|| invalid("options", "options is NULL"))?;
        let mut changed = set.options.clone();
        set.refused = change(&mut changed).and_then(|()| Ok(changed.validate()?)).err();
        match &set.refused {
            Some(failure) => Err(failure.again()),
            None => {
                set.options = changed;
                Ok(())
            }
        }
    })
}

/// Sets one option that takes any value.
fn put<T>(options: *mut upload_options, value: T, option: impl FnOnce(&mut Options) -> &mut T) -> upload_result {
    set(options, |options| {
        *option(options) = value;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options after `change`, and what it returned.
    fn after(change: impl FnOnce(*mut upload_options) -> upload_result) -> (Options, upload_result) {
        let raw = upload_options_new();
        let result = change(raw);
        // SAFETY: a live handle, used by nobody else.
        let options = unsafe { handle::borrow(raw) }.unwrap().options.clone();
        // SAFETY: as above; not used again.
        unsafe { upload_options_free(raw) };
        (options, result)
    }

    #[test]
    fn every_setter_sets_its_option_and_no_other() {
        let changed = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            (options, upload_result::UPLOAD_OK)
        };
        // SAFETY: `after` passes a live handle; the texts are C strings.
        unsafe {
            assert_eq!(after(|o| upload_options_set_max_total_size(o, 5)), changed(|o| o.max_total_size = 5));
            assert_eq!(after(|o| upload_options_set_max_chunk_count(o, 5)), changed(|o| o.max_chunk_count = 5));
            assert_eq!(after(|o| upload_options_set_min_free_space(o, 5)), changed(|o| o.min_free_space = 5));
            assert_eq!(after(|o| upload_options_set_max_store_size(o, 5)), changed(|o| o.max_store_size = 5));
            assert_eq!(after(|o| upload_options_set_max_uploads(o, 5)), changed(|o| o.max_uploads = 5));
            assert_eq!(after(|o| upload_options_set_all_owners(o, 1)), changed(|o| o.all_owners = true));
            assert_eq!(after(|o| upload_options_set_all_owners(o, 0)), changed(|_| {}));
            assert_eq!(after(|o| upload_options_set_prefix(o, c"u_".as_ptr())), changed(|o| o.prefix = "u_".into()));
            assert_eq!(after(|o| upload_options_set_dir_mode(o, 0o750)), changed(|o| o.dir_mode = 0o750));
            assert_eq!(after(|o| upload_options_set_file_mode(o, 0o640)), changed(|o| o.file_mode = 0o640));
            for (number, level) in [(0, Durability::Process), (1, Durability::Complete), (2, Durability::Chunk)] {
                let (options, result) = after(|o| upload_options_set_durability(o, number));
                assert_eq!((options.durability, result), (level, upload_result::UPLOAD_OK));
            }
        }
    }

    #[test]
    fn bad_values_change_nothing() {
        let refused = (Options::default(), upload_result::UPLOAD_INVALID_ARGUMENT);
        // SAFETY: `after` passes a live handle; the texts are NULL or C strings.
        unsafe {
            for number in [-1, 3, i32::MIN, i32::MAX] {
                assert_eq!(after(|o| upload_options_set_durability(o, number)), refused);
            }
            for number in [-1, 2, i32::MIN] {
                assert_eq!(after(|o| upload_options_set_all_owners(o, number)), refused);
            }
            for prefix in [c"a/b", c"\xff"] {
                assert_eq!(after(|o| upload_options_set_prefix(o, prefix.as_ptr())), refused);
            }
            assert_eq!(after(|o| upload_options_set_prefix(o, std::ptr::null())), refused);
            assert_eq!(after(|o| upload_options_set_dir_mode(o, 0)), refused);
            assert_eq!(after(|o| upload_options_set_file_mode(o, u32::MAX)), refused);
        }
    }
}

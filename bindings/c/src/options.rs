//! `upload_options`: the options of a store, set one by one.

use std::ffi::c_char;

use engine::{Durability, Options};

use crate::error::upload_error;
use crate::failure::{Failure, Result, invalid};
use crate::handle::{self, Handle, Out};
use crate::result::upload_result;
use crate::{args, boundary, guard};

/// A value for upload_options_set_durability, and the default. Acknowledged chunks and finished files survive
/// the death of every process at any instant. They may be lost in a power failure.
pub const UPLOAD_DURABILITY_PROCESS: i32 = 0;
/// A value for upload_options_set_durability. In addition to UPLOAD_DURABILITY_PROCESS, a finished file
/// survives a power failure after upload_get has returned it.
pub const UPLOAD_DURABILITY_COMPLETE: i32 = 1;
/// A value for upload_options_set_durability. In addition to UPLOAD_DURABILITY_COMPLETE, every acknowledged
/// chunk survives a power failure.
pub const UPLOAD_DURABILITY_CHUNK: i32 = 2;

/// The options of a store. upload_options_new makes them with the default values, the setters change them, and
/// upload_store_open copies them. Only one thread at a time may use them.
///
/// Options belong to the store handle, not to the directory. Two programs may open the same directory with
/// different options. Programs with the same prefix see the same uploads; programs with different prefixes do
/// not.
///
/// A setter refuses a value with which no store could work, or options that are NULL. It then returns
/// UPLOAD_INVALID_ARGUMENT and leaves the options unchanged. upload_options_last_error gives the reason.
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

/// Makes options with the default values. Free them with upload_options_free. Returns NULL only if the library
/// has a defect.
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

/// The largest total_size of a new upload, in bytes. 0, the default, means no limit. A larger total_size is
/// UPLOAD_LIMIT_EXCEEDED. Only the first chunk of an upload is checked.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_total_size(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.max_total_size)
}

/// The largest chunk_count of a new upload. 0 means no limit; the default is 1,000,000. A larger chunk_count is
/// UPLOAD_LIMIT_EXCEEDED. Only the first chunk of an upload is checked. Each chunk takes 32 bytes on disk, and
/// upload_get of an unfinished upload reads all of them. Without a limit a client decides how long that takes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_chunk_count(
    options: *mut upload_options,
    chunks: u64,
) -> upload_result {
    put(options, chunks, |options| &mut options.max_chunk_count)
}

/// The number of bytes that must stay free on the file system after the declared size of a new upload. The
/// default is 16 MiB. If fewer bytes would stay free, the first chunk is UPLOAD_NO_SPACE.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_min_free_space(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.min_free_space)
}

/// The most bytes that all uploads of the store together may take on disk. 0, the default, means no limit. A
/// first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. An upload counts until its file is taken: its
/// declared size, its table of chunks in blocks of 4 KiB, and 4 KiB for its directory.
///
/// Programs with this limit never promise the same space twice. All programs that use a store should set it. An
/// upload that was made without the limit counts only after the store is counted again. The store is counted
/// again before a first chunk is refused, at most once a second. So a file that was taken without a call of
/// this library frees its space a second later, at the latest.
///
/// Several first chunks with one upload_key may arrive at the same moment. Each takes space until the library
/// knows that they are one upload. Near the limit some may be refused; they succeed when they are sent again.
///
/// The remains of replaced chunks do not count. A client that sends chunks of wrong sizes can make an upload
/// take three times its declared size on disk. While upload_get copies the chunks into order, it can take four
/// times its declared size. Against hostile clients set the limit to a quarter of the space. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_store_size(options: *mut upload_options, bytes: u64) -> upload_result {
    put(options, bytes, |options| &mut options.max_store_size)
}

/// The most uploads in the store, of all owners together. 0, the default, means no limit. A first chunk beyond
/// the limit is UPLOAD_LIMIT_EXCEEDED. An upload counts until its file is taken. The store is counted again as
/// for upload_options_set_max_store_size. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_max_uploads(options: *mut upload_options, uploads: u64) -> upload_result {
    put(options, uploads, |options| &mut options.max_uploads)
}

/// 1: the store sees the uploads of every owner, for administrators' tools. 0, the default: the store sees the
/// uploads without an owner. A view from upload_store_for_owner sees only the uploads of its owner, whatever
/// this option is. Since 0.2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_all_owners(options: *mut upload_options, all: i32) -> upload_result {
    set(options, |options| {
        options.all_owners = args::flag("all", all)?;
        Ok(())
    })
}

/// The failures that uploads survive: one of the UPLOAD_DURABILITY_ values. The default is
/// UPLOAD_DURABILITY_PROCESS. An upload keeps the highest level with which it was ever called. upload_get
/// returns only the right bytes at every level. After a power failure it reads the data that was not known to
/// be on disk. It compares the data with its checksums, and counts damaged chunks as missing.
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

/// The text before the uid in the names of upload directories: UTF-8, at most 64 bytes, without '/'. The
/// default is "".
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

/// The permissions of directories, whatever the umask is. The mode must include 0700 and have no bits outside
/// 07777. The default is 0700.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_dir_mode(options: *mut upload_options, dir_mode: u32) -> upload_result {
    put(options, dir_mode, |options| &mut options.dir_mode)
}

/// The permissions of files, whatever the umask is. The mode must include 0600 and have no bits outside 0777.
/// The default is 0600. A user who can read the file named state can lock it and so delay writers. Therefore
/// that file gives read permission only together with write permission.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_options_set_file_mode(options: *mut upload_options, file_mode: u32) -> upload_result {
    put(options, file_mode, |options| &mut options.file_mode)
}

/// Returns the result of the last setter that was called for these options, with an error that gives the
/// reason. Returns UPLOAD_OK if that setter succeeded or no setter was called. Returns UPLOAD_INVALID_ARGUMENT
/// if options is NULL. The call may be repeated. Since 0.2.
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

//! `upload_store`: a directory in which uploads are received.

use std::ffi::{c_char, c_void};

use engine::Store;

use crate::error::upload_error;
use crate::handle::{self, Handle, Out};
use crate::options::upload_options;
use crate::result::upload_result;
use crate::{args, boundary};

/// A directory in which uploads are received, and the options with which this program does it.
///
/// It is an absolute path and options, nothing more: no descriptor, no lock, no thread. Any number of
/// threads may use it at once, and so may the children of a fork. It must outlive the calls that use
/// it, but not what they returned.
pub struct upload_store {
    _private: [u8; 0],
}

impl Handle for upload_store {
    type Value = Store;
}

// The header promises it.
const _: () = handle::shareable::<Store>();

/// Opens the directory path as a store and sets *store, to be freed with upload_store_free.
///
/// Creates nothing: a server may open the store as root and receive as another user. Later, the first
/// chunk makes the directory if only the last component of its path is missing, and fails if something
/// else than a directory is there. A relative path is resolved against the current directory now, not
/// later. options may be NULL, for the defaults, and may be changed or freed afterwards.
///
/// Symbolic links in the path are resolved now; later calls use the path without links. A link that is later
/// put in the place of the store is refused with UPLOAD_IO and errno EPERM.
///
/// Fails with UPLOAD_INVALID_ARGUMENT if path is NULL or empty or store is NULL. Fails with UPLOAD_IO if
/// uploads are not safe on the file system, or if this cannot be found out. They are not safe on a network
/// file system. At the levels UPLOAD_DURABILITY_COMPLETE and UPLOAD_DURABILITY_CHUNK they are not safe on a
/// file system without a journal, such as ext2. Fails with UPLOAD_IO and errno EPERM if another user could
/// exchange the store. That is the case if
/// - all users may write into the directory, and it is not sticky or belongs neither to the caller nor to
///   root, unless dir_mode lets all users write;
/// - the last component of path is a symbolic link that belongs neither to the caller nor to root;
/// - another user made the directory below one like /tmp, and it is not writable for a group of the caller.
///   If the caller is root, this is checked only when an upload is begun or a key is used.
/// In a sticky directory that all users may write into, only files of the caller and of root are used. A call
/// that needs a file of another user fails with UPLOAD_IO and errno EPERM.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_store_open(
    path: *const c_char,
    options: *const upload_options,
    store: *mut *mut upload_store,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (store, error) = unsafe { (Out::cleared(store), Out::cleared(error)) };
    boundary::call(&error, || {
        args::wanted("store", &store)?;
        // SAFETY: NULL or a C string, by the header's contract.
        let path = unsafe { args::path("path", path) }?;
        // SAFETY: NULL or a live handle that nobody changes during the call, by the header's contract.
        let options = unsafe { handle::borrow(options) }.map(|set| set.options.clone()).unwrap_or_default();
        store.give(Store::open(path, options)?);
        Ok(())
    })
}

/// Makes a view of the store that is bound to an owner, and sets *view, a store like any other, to be freed
/// with upload_store_free; store may be freed before. owner is any bytes that name who is calling, 1 to
/// 1024: a user's id, say.
///
/// An upload that is made through the view is UPLOAD_NOT_FOUND through every other store that is not a
/// view for the same owner and was not opened with upload_options_set_all_owners, just as if it did not
/// exist; and through the view all others are. Of the owner only a keyed digest is kept on disk.
///
/// Fails with UPLOAD_INVALID_ARGUMENT if store, owner or view is NULL, or size is 0 or above 1024.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_store_for_owner(
    store: *const upload_store,
    owner: *const c_void,
    size: usize,
    view: *mut *mut upload_store,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let (view, error) = unsafe { (Out::cleared(view), Out::cleared(error)) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        args::wanted("view", &view)?;
        // SAFETY: so many readable bytes, by the header's contract.
        let owner = unsafe { args::bytes("owner", owner, size) }?;
        view.give(store.for_owner(owner)?);
        Ok(())
    })
}

/// Frees the handle. NULL is allowed. The directory and the uploads in it stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_store_free(store: *mut upload_store) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(store) };
}

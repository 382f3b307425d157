//! `upload_store`: a directory in which uploads are received.

use std::ffi::{c_char, c_void};

use engine::Store;

use crate::error::upload_error;
use crate::handle::{self, Handle, Out};
use crate::options::upload_options;
use crate::result::upload_result;
use crate::{args, boundary};

/// A directory that receives uploads, with the options of this program.
///
/// A store is an absolute path and options: it holds no descriptor, lock or thread. Any number of threads may
/// use it at once, and so may the children of a fork. It must outlive the calls that use it. It need not
/// outlive the handles that they returned.
pub struct upload_store {
    _private: [u8; 0],
}

impl Handle for upload_store {
    type Value = Store;
}

// The header promises it.
const _: () = handle::shareable::<Store>();

/// Opens the directory path as a store and sets *store. Free it with upload_store_free.
///
/// Opening creates nothing: a server may open the store as root and receive chunks as another user. The first
/// chunk creates the directory if only the last component of its path is missing. It fails if the path is not a
/// directory. The current directory at the time of this call resolves a relative path. options may be NULL for
/// the defaults. The caller may change or free options afterwards.
///
/// This call resolves symbolic links in the path; later calls use the path without links. If a link later
/// replaces the store, calls fail with UPLOAD_IO and errno EPERM.
///
/// Fails with UPLOAD_INVALID_ARGUMENT if path is NULL or empty, or store is NULL.
///
/// Fails with UPLOAD_IO if uploads are not safe on the file system, or if the library cannot find this out.
/// Uploads are not safe on a network file system. At the levels UPLOAD_DURABILITY_COMPLETE and
/// UPLOAD_DURABILITY_CHUNK they are not safe on a file system without a journal, such as ext2.
///
/// Fails with UPLOAD_IO and errno EPERM if another user could exchange the store. That is the case if
/// - all users may write into the directory although dir_mode does not let them, and it is not sticky or
///   belongs neither to the caller nor to root;
/// - the last component of path is a symbolic link that belongs neither to the caller nor to root;
/// - another user made the directory below a directory like /tmp, and it is not writable for a group of the
///   caller. If the caller is root, this is checked only when an upload is begun or a key is used.
///
/// In a sticky directory that all users may write into, the library uses only files of the caller and of root.
/// A call that needs a file of another user fails with UPLOAD_IO and errno EPERM.
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

/// Makes a view of the store for one owner and sets *view. Free it with upload_store_free. The view is an
/// upload_store. The store may be freed before its view. A view of a view belongs to the new owner only. owner
/// is 1 to 1024 bytes that identify the caller, for example a user's id.
///
/// A view sees only the uploads that were made through views for the same owner. All other uploads are
/// UPLOAD_NOT_FOUND through it. An upload that was made through a view is UPLOAD_NOT_FOUND through other
/// stores. Only views for the same owner, and stores opened with upload_options_set_all_owners, see it. The
/// disk holds only a keyed digest of the owner.
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

/// Frees the handle. NULL is allowed. The directory and its uploads stay unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upload_store_free(store: *mut upload_store) {
    // SAFETY: NULL or a handle that is not used again, by the header's contract.
    unsafe { handle::free(store) };
}

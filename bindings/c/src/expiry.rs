//! `upload_expiry`, `upload_cleaned`: the end of uploads.

use std::ffi::c_char;
use std::mem::{offset_of, size_of};
use std::time::Duration;

use engine::{Cleaned, Expiry, Phase};

use crate::error::upload_error;
use crate::failure::Result;
use crate::handle::Out;
use crate::result::upload_result;
use crate::store::upload_store;
use crate::versioned::Versioned;
use crate::{args, boundary, versioned};

/// An age that no upload reaches; 0 means the same.
pub const UPLOAD_KEEP: u64 = u64::MAX;
/// An age that every upload has reached: remove them at once.
pub const UPLOAD_ANY_AGE: u64 = u64::MAX - 1;

/// What upload_cleanup is to remove: uploads without activity for at least an age, in seconds, by what
/// they are. An age of 0 keeps them. Start with UPLOAD_EXPIRY_INIT, which keeps everything, and set the ages
/// you mean. Later versions append members, as to upload_chunk.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct upload_expiry {
    /// sizeof(upload_expiry), which UPLOAD_EXPIRY_INIT sets.
    pub struct_size: usize,
    /// Of uploads that are not finished, and of what crashes left.
    pub unfinished_age: u64,
    /// Of finished uploads whose file was not taken.
    pub finished_age: u64,
    /// Of the records of uploads whose file was taken. As long as such a record is there, a late chunk is
    /// UPLOAD_GONE; afterwards UPLOAD_NOT_FOUND or, with an upload_key, the beginning of a new upload.
    pub gone_age: u64,
    /// How many uploads to remove at the most in this call; 0 means 1000.
    pub max_removals: u64,
    /// 1: tell only what would be removed. 0: remove it.
    pub dry_run: i32,
}

/// What upload_cleanup removed, or with dry_run would have. Start with UPLOAD_CLEANED_INIT. Later versions
/// append members, as to upload_receipt.
#[repr(C)]
pub struct upload_cleaned {
    /// sizeof(upload_cleaned), which UPLOAD_CLEANED_INIT sets.
    pub struct_size: usize,
    /// Uploads that were not finished.
    pub unfinished: u64,
    /// Finished uploads.
    pub finished: u64,
    /// Records of uploads whose file was taken.
    pub gone: u64,
    /// What crashes left: whatever has an upload's name but is none.
    pub leftovers: u64,
    /// How many are old enough but could not be removed. Uploads that were removed count, too, if a file
    /// .upload-*.part stays where upload_move_to had begun to copy them to another file system.
    pub failed: u64,
    /// 1 if max_removals was reached before all was looked at: another call may find more.
    pub more: i32,
}

// These are the sizes and offsets of the first release that has them; a new member gets a line here.
const _: () = {
    assert!(size_of::<upload_expiry>() == 48);
    assert!(offset_of!(upload_expiry, unfinished_age) == 8);
    assert!(offset_of!(upload_expiry, finished_age) == 16);
    assert!(offset_of!(upload_expiry, gone_age) == 24);
    assert!(offset_of!(upload_expiry, max_removals) == 32);
    assert!(offset_of!(upload_expiry, dry_run) == 40);
    assert!(size_of::<upload_cleaned>() == 56);
    assert!(offset_of!(upload_cleaned, unfinished) == 8);
    assert!(offset_of!(upload_cleaned, finished) == 16);
    assert!(offset_of!(upload_cleaned, gone) == 24);
    assert!(offset_of!(upload_cleaned, leftovers) == 32);
    assert!(offset_of!(upload_cleaned, failed) == 40);
    assert!(offset_of!(upload_cleaned, more) == 48);
};

// SAFETY: numbers.
unsafe impl Versioned for upload_expiry {}

const EXPIRY_MIN: usize = 48;
const CLEANED_MIN: usize = 56;

/// Removes an upload with all that belongs to it, whatever its phase. Waits for calls that are working on it;
/// calls that come later find nothing. A chunk that comes later with the same upload_key begins a new upload.
///
/// An upload that is damaged so that it cannot be read (UPLOAD_IO with EBADMSG) is removed by upload_cleanup
/// when it is old enough.
///
/// Fails with UPLOAD_NOT_FOUND, UPLOAD_IO or, if store or uid is NULL, UPLOAD_INVALID_ARGUMENT. If UPLOAD_IO
/// names a file .upload-*.part, the upload was removed, but this file stays: a copy to another file system
/// that upload_move_to had begun.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_remove(
    store: *const upload_store,
    uid: *const c_char,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let error = unsafe { Out::cleared(error) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        // SAFETY: NULL or a C string, by the header's contract.
        let uid = unsafe { args::required_uid(uid) }?;
        Ok(store.remove(&uid)?)
    })
}

/// Removes uploads without activity for some time, and what crashes left; never one that a call is working
/// on, in whatever process. Nothing does so by itself: call it now and then. It sees what the store sees: for
/// the uploads of all owners open the store with upload_options_set_all_owners. If the time of an upload lies
/// in the future, because the clock was set back, the upload ages from the first call on.
///
/// *cleaned, which may be NULL, is filled on success only. What could not be removed is counted there and is no
/// failure. Fails with UPLOAD_IO if the store cannot be read, and with UPLOAD_INVALID_ARGUMENT if store or
/// expiry is NULL, dry_run is neither 0 nor 1, or a struct_size is wrong.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn upload_cleanup(
    store: *const upload_store,
    expiry: *const upload_expiry,
    cleaned: *mut upload_cleaned,
    error: *mut *mut upload_error,
) -> upload_result {
    // SAFETY: NULL or writable, by the header's contract.
    let error = unsafe { Out::cleared(error) };
    boundary::call(&error, || {
        // SAFETY: NULL or a live handle, by the header's contract.
        let store = unsafe { args::required("store", store) }?;
        // SAFETY: NULL or `struct_size` bytes that start with it, by the header's contract.
        let expiry = unsafe { versioned::known_part("expiry", expiry, EXPIRY_MIN) }?;
        if !cleaned.is_null() {
            // SAFETY: as above, writable.
            unsafe { versioned::check_size("cleaned", cleaned, CLEANED_MIN) }?;
        }
        let answer = store.cleanup(&expiry.to_engine()?)?;
        if !cleaned.is_null() {
            // SAFETY: at least the members of the first release, by the check above.
            unsafe { write_cleaned(cleaned, &answer) };
        }
        Ok(())
    })
}

impl upload_expiry {
    fn to_engine(self) -> Result<Expiry> {
        let age = |seconds| match seconds {
            0 | UPLOAD_KEEP => None,
            UPLOAD_ANY_AGE => Some(Duration::ZERO),
            _ => Some(Duration::from_secs(seconds)),
        };
        let defaults = Expiry::older_than(Duration::ZERO);
        Ok(Expiry {
            unfinished: age(self.unfinished_age),
            finished: age(self.finished_age),
            gone: age(self.gone_age),
            max_removals: if self.max_removals == 0 { defaults.max_removals } else { self.max_removals },
            dry_run: args::flag("dry_run", self.dry_run)?,
        })
    }
}

/// # Safety
/// `cleaned` points to the members of the first release, writable.
unsafe fn write_cleaned(cleaned: *mut upload_cleaned, answer: &Cleaned) {
    let count = |phase: Option<Phase>| answer.removed.iter().filter(|removed| removed.phase == phase).count() as u64;
    // SAFETY: by this function's contract; no reference to the struct's memory is alive.
    unsafe {
        (&raw mut (*cleaned).unfinished).write_unaligned(count(Some(Phase::Receiving)));
        (&raw mut (*cleaned).finished).write_unaligned(count(Some(Phase::Complete)));
        (&raw mut (*cleaned).gone).write_unaligned(count(Some(Phase::Gone)));
        (&raw mut (*cleaned).leftovers).write_unaligned(count(None));
        (&raw mut (*cleaned).failed).write_unaligned(answer.failed_count);
        (&raw mut (*cleaned).more).write_unaligned(answer.more.into());
    }
}

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

/// An age that no upload reaches. 0 has the same meaning.
pub const UPLOAD_KEEP: u64 = u64::MAX;
/// An age that every upload has reached: upload_cleanup removes uploads at once.
pub const UPLOAD_ANY_AGE: u64 = u64::MAX - 1;

/// The ages at which upload_cleanup removes uploads. An age is the time since the last activity, in seconds; 0
/// and UPLOAD_KEEP keep the uploads. Start with UPLOAD_EXPIRY_INIT, which keeps everything, and set ages. A
/// struct of zeros with its struct_size also keeps everything. Later versions append members, as to
/// upload_chunk.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct upload_expiry {
    /// sizeof(upload_expiry), which UPLOAD_EXPIRY_INIT sets.
    pub struct_size: usize,
    /// The age for unfinished uploads, and for files that crashes left.
    pub unfinished_age: u64,
    /// The age for finished uploads whose file was not taken.
    pub finished_age: u64,
    /// The age for the records of uploads whose file was taken. While the record exists, a late chunk is
    /// UPLOAD_GONE. After its removal a late chunk is UPLOAD_NOT_FOUND; with an upload_key it begins a new
    /// upload.
    pub gone_age: u64,
    /// The most uploads that this call removes; 0 means 1000.
    pub max_removals: u64,
    /// 1: count the uploads, but remove nothing. 0: remove them.
    pub dry_run: i32,
}

/// The uploads that upload_cleanup removed, or would have removed without dry_run. Start with
/// UPLOAD_CLEANED_INIT. Later versions append members, as to upload_receipt.
#[repr(C)]
pub struct upload_cleaned {
    /// sizeof(upload_cleaned), which UPLOAD_CLEANED_INIT sets.
    pub struct_size: usize,
    /// The number of unfinished uploads.
    pub unfinished: u64,
    /// The number of finished uploads.
    pub finished: u64,
    /// The number of records of uploads whose file was taken.
    pub gone: u64,
    /// The number of entries that crashes left: entries with the name of an upload that are not uploads.
    pub leftovers: u64,
    /// The number of uploads that are old enough but could not be removed. A removed upload also counts here if
    /// a file .upload-*.part stays where upload_move_to had begun to copy it to another file system.
    pub failed: u64,
    /// 1 if max_removals was reached before the end of the store: another call may find more uploads. Otherwise
    /// 0.
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

/// Removes an upload with all its files, in any phase. Waits for calls that use the upload; later calls return
/// UPLOAD_NOT_FOUND. A later chunk with the same upload_key begins a new upload.
///
/// If the records of an upload are damaged, this call fails with UPLOAD_IO and EBADMSG. upload_cleanup removes
/// such an upload when it is old enough.
///
/// Fails with UPLOAD_NOT_FOUND or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store or uid is NULL. If the
/// path of UPLOAD_IO is a file .upload-*.part, the upload was removed, but this file stays. upload_move_to had
/// begun it as a copy to another file system.
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

/// Removes uploads without recent activity, and files that crashes left. It never removes an upload that a call
/// in any process is using. The library does not call it: call it regularly. It removes only uploads that the
/// store sees. To clean the uploads of all owners, open the store with upload_options_set_all_owners. If the
/// clock was set back, the last activity of an upload may lie in the future. The upload then ages from the
/// first call on.
///
/// *cleaned is written on success only; cleaned may be NULL. Uploads that could not be removed are counted
/// there and are no failure.
///
/// Fails with UPLOAD_IO if the store cannot be read. Fails with UPLOAD_INVALID_ARGUMENT if store or expiry is
/// NULL, dry_run is neither 0 nor 1, or a struct_size is wrong.
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
        let max_removals = match self.max_removals {
            0 => Expiry::default().max_removals,
            number => number,
        };
        Ok(Expiry {
            unfinished: age(self.unfinished_age),
            finished: age(self.finished_age),
            gone: age(self.gone_age),
            max_removals,
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

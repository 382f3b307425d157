//! Between the opaque C types and the Rust values behind them: the one place where pointers change their type.
//!
//! A C type is a zero-sized marker without `repr(C)`: the header then declares it without a body, and debugging
//! information, by which ABI checkers judge, holds nothing of the engine's private fields.

use crate::guard;

/// A C type that stands for a Rust value on the heap.
pub(crate) trait Handle: Sized {
    /// What the pointer really points to.
    type Value;
}

/// Compiles for what any thread may use and free.
pub(crate) const fn shareable<T: Send + Sync>() {}

/// Gives `value` to C.
pub(crate) fn into_raw<H: Handle>(value: H::Value) -> *mut H {
    Box::into_raw(Box::new(value)).cast()
}

/// The value behind a handle; `None` for NULL.
///
/// # Safety
/// `raw` is NULL or came from [`into_raw`], was not freed, and nobody changes the value while the reference lives.
pub(crate) unsafe fn borrow<'a, H: Handle>(raw: *const H) -> Option<&'a H::Value> {
    // SAFETY: by this function's contract; `into_raw` made the pointer from a `Box` of this very type.
    unsafe { raw.cast::<H::Value>().as_ref() }
}

/// The value behind a handle, to be changed; `None` for NULL.
///
/// # Safety
/// As for [`borrow`], and nobody else uses the handle while the reference lives.
pub(crate) unsafe fn borrow_mut<'a, H: Handle>(raw: *mut H) -> Option<&'a mut H::Value> {
    // SAFETY: by this function's contract; `into_raw` made the pointer from a `Box` of this very type.
    unsafe { raw.cast::<H::Value>().as_mut() }
}

/// Answers what C asks of a handle that it passed: `absent` for NULL, and if the question panics.
pub(crate) fn ask<H: Handle, T: Copy>(raw: *const H, absent: T, fact: impl FnOnce(&H::Value) -> T) -> T {
    // SAFETY: NULL or a live handle, by the header's contract.
    guard::or(absent, || unsafe { borrow(raw) }.map_or(absent, fact))
}

/// Takes a handle back from C and drops its value; nothing for NULL.
///
/// # Safety
/// `raw` is NULL or came from [`into_raw`] and was not freed; nobody uses it any more.
pub(crate) unsafe fn free<H: Handle>(raw: *mut H) {
    if !raw.is_null() {
        // SAFETY: by this function's contract; `into_raw` made the pointer from a `Box` of this very type.
        guard::or((), || drop(unsafe { Box::from_raw(raw.cast::<H::Value>()) }));
    }
}

/// A `**` parameter.
pub(crate) struct Out<H>(*mut *mut H);

impl<H: Handle> Out<H> {
    /// Sets the parameter to NULL, which it stays unless [`Out::give`] is called. It may itself be NULL.
    ///
    /// # Safety
    /// `out` is NULL or may be written until the `Out` is dropped.
    pub(crate) unsafe fn cleared(out: *mut *mut H) -> Out<H> {
        if !out.is_null() {
            // SAFETY: by this function's contract. What it held may be uninitialised, so it is not read.
            unsafe { out.write(std::ptr::null_mut()) };
        }
        Out(out)
    }

    /// Whether the caller wants the value.
    pub(crate) fn wanted(&self) -> bool {
        !self.0.is_null()
    }

    /// Hands `value` to the caller, or drops it if the parameter is NULL.
    pub(crate) fn give(&self, value: H::Value) {
        if self.wanted() {
            // SAFETY: by the contract of `cleared`.
            unsafe { self.0.write(into_raw(value)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    struct probe {
        _private: [u8; 0],
    }
    impl Handle for probe {
        type Value = Rc<()>;
    }

    #[test]
    fn a_value_is_dropped_once_and_only_by_free() {
        let value = Rc::new(());
        let raw = into_raw::<probe>(value.clone());
        // SAFETY: `raw` is alive and nobody else uses it.
        assert!(Rc::ptr_eq(unsafe { borrow(raw) }.unwrap(), &value));
        assert_eq!(Rc::strong_count(&value), 2);
        // SAFETY: `raw` is alive and not used again; NULL is allowed.
        unsafe {
            free(raw);
            free::<probe>(std::ptr::null_mut());
        }
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn an_out_parameter_is_cleared_and_may_be_missing() {
        let mut slot = std::ptr::dangling_mut::<probe>();
        // SAFETY: `slot` outlives `out`.
        let out = unsafe { Out::cleared(&raw mut slot) };
        assert!(slot.is_null());
        let value = Rc::new(());
        out.give(value.clone());
        // SAFETY: `give` put a live handle there.
        unsafe { free(slot) };
        // SAFETY: NULL is allowed.
        let nowhere = unsafe { Out::<probe>::cleared(std::ptr::null_mut()) };
        assert!(!nowhere.wanted());
        nowhere.give(value.clone());
        assert_eq!(Rc::strong_count(&value), 1);
    }
}

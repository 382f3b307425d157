//! Hooks by which the engine's own tests stop, fail or kill a call, and set another trust tag.
//!
//! Without the feature `test-hooks`, [`reach`] is empty, and nothing else is compiled.

#[cfg(not(feature = "test-hooks"))]
mod off {
    #[inline(always)]
    pub(crate) fn reach(_step: &'static str) -> std::io::Result<()> {
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn trust() -> Option<crate::rules::tag::Trust> {
        None
    }
}

#[cfg(feature = "test-hooks")]
mod on {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::rc::Rc;

    use crate::rules::tag::{Tag, Trust};

    /// Called with the name of each step that a call reaches. If it returns `Err`, the call fails there.
    pub type Hook = Rc<dyn Fn(&'static str) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
        static TRUST_TAG: Cell<Option<Option<u32>>> = const { Cell::new(None) };
        static VOLUMES_HIDDEN: Cell<bool> = const { Cell::new(false) };
    }

    /// Sets the hook that is called at every step of this thread.
    pub fn set_hook(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    /// Replaces the trust tag in this thread. `Some(None)` stands for a kernel that does not tell the boot.
    pub fn set_trust_tag(tag: Option<Option<u32>>) {
        TRUST_TAG.set(tag);
    }

    pub(crate) fn trust() -> Option<Trust> {
        TRUST_TAG.get().map(|tag| Trust::of(tag.map(Tag::from_number)))
    }

    /// Hides the volumes from this thread, as a kernel does that tells only the boot.
    pub fn hide_volumes(hidden: bool) {
        VOLUMES_HIDDEN.set(hidden);
    }

    pub(crate) fn volumes_are_hidden() -> bool {
        VOLUMES_HIDDEN.get()
    }

    pub(crate) fn reach(step: &'static str) -> io::Result<()> {
        // The hook may set another hook, so it must not run while it is borrowed.
        let hook = HOOK.with_borrow(Clone::clone);
        hook.map_or(Ok(()), |hook| hook(step))
    }
}

#[cfg(not(feature = "test-hooks"))]
pub(crate) use off::{reach, trust};
#[cfg(feature = "test-hooks")]
pub use on::{Hook, hide_volumes, set_hook, set_trust_tag};
#[cfg(feature = "test-hooks")]
pub(crate) use on::{reach, trust, volumes_are_hidden};

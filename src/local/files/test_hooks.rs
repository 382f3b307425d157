//! Where the engine's own tests can stop, fail or kill a call, and put another trust tag in place.
//!
//! Without the feature `test-hooks` nothing of this is compiled in: [`reach`] is empty.

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

    /// Called with the name of each step a call reaches; with an `Err` the call fails there.
    pub type Hook = Rc<dyn Fn(&'static str) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
        static TRUST_TAG: Cell<Option<Option<u32>>> = const { Cell::new(None) };
        static VOLUMES_HIDDEN: Cell<bool> = const { Cell::new(false) };
    }

    /// Has `hook` called at every step this thread reaches.
    pub fn set_hook(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    /// Replaces the trust tag in this thread: `Some(None)` stands for a kernel that does not tell.
    pub fn set_trust_tag(tag: Option<Option<u32>>) {
        TRUST_TAG.set(tag);
    }

    pub(crate) fn trust() -> Option<Trust> {
        TRUST_TAG.get().map(|tag| Trust::of(tag.map(Tag::from_number)))
    }

    /// Has the kernel tell this thread the boot, but no volume.
    pub fn hide_volumes(hidden: bool) {
        VOLUMES_HIDDEN.set(hidden);
    }

    pub(crate) fn volumes_are_hidden() -> bool {
        VOLUMES_HIDDEN.get()
    }

    pub(crate) fn reach(step: &'static str) -> io::Result<()> {
        // The hook may make calls of its own, so it must not run while it is borrowed.
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

//! Where calls that can fail enter: every failure, a panic too, becomes a result and an error object.

use std::ffi::c_int;

use engine::Error;

use crate::error::{Facts, upload_error};
use crate::failure::{Failure, Result};
use crate::guard;
use crate::handle::Out;
use crate::result::upload_result;

/// Runs the body of a function that can fail.
pub(crate) fn call(error: &Out<upload_error>, body: impl FnOnce() -> Result<()>) -> upload_result {
    let _uncancelled = Uncancelled::new();
    let failure = match guard::caught(body) {
        Ok(Ok(())) => return upload_result::UPLOAD_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::from(Error::Internal(panic)),
    };
    // The object is a courtesy: if it cannot be made, the result still says what happened.
    guard::or((), || error.give(Facts::new(&failure)));
    failure.error.kind().into()
}

/// While it lives, `pthread_cancel` waits. Most system calls are cancellation points, and a cancelled thread is unwound
/// by force, which Rust answers by aborting the process.
struct Uncancelled {
    before: c_int,
}

// POSIX, pthread_setcancelstate(3); the libc crate does not have it for Linux.
const PTHREAD_CANCEL_DISABLE: c_int = 1;
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

impl Uncancelled {
    fn new() -> Uncancelled {
        let mut before = 0;
        // SAFETY: `before` has room for the answer.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before) };
        Uncancelled { before }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state is one that the function itself gave; the pointer has room for the answer.
        unsafe { pthread_setcancelstate(self.before, &mut self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle;
    use std::panic::{panic_any, resume_unwind};

    /// Calls as C does: with an error parameter that holds rubbish.
    fn called(body: impl FnOnce() -> Result<()>) -> (upload_result, Option<String>) {
        let mut error = std::ptr::dangling_mut();
        // SAFETY: `error` outlives `out`.
        let out = unsafe { Out::cleared(&raw mut error) };
        let result = call(&out, body);
        // SAFETY: `call` left NULL or a live handle.
        let message = unsafe { handle::borrow(error) }.map(|facts| facts.message().to_owned());
        // SAFETY: as above; it is not used again.
        unsafe { handle::free(error) };
        (result, message)
    }

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn success_and_failure_pass() {
        assert_eq!(called(|| Ok(())), (upload_result::UPLOAD_OK, None));
        let (result, message) = called(|| Err(Error::Conflict("a reason".into()).into()));
        assert_eq!((result, message.as_deref()), (upload_result::UPLOAD_CONFLICT, Some("a reason")));
    }

    #[test]
    fn no_panic_leaves() {
        let internal = |text: &str| (upload_result::UPLOAD_INTERNAL, Some(format!("internal error: {text}")));
        // `resume_unwind` is a panic that does not print.
        assert_eq!(called(|| resume_unwind(Box::new("literal"))), internal("panic: literal"));
        assert_eq!(called(|| resume_unwind(Box::new("owned".to_owned()))), internal("panic: owned"));
        assert_eq!(called(|| resume_unwind(Box::new(7))), internal("panic"));
        assert_eq!(called(|| panic_any(Bomb)), internal("panic"));
    }

    #[test]
    fn the_error_parameter_may_be_missing() {
        // SAFETY: NULL is allowed.
        let error = unsafe { Out::cleared(std::ptr::null_mut()) };
        assert_eq!(call(&error, || resume_unwind(Box::new("x"))), upload_result::UPLOAD_INTERNAL);
    }
}

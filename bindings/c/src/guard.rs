//! No panic leaves the library.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; if it panics, answers with the text of the panic.
///
/// A panic may leave things half changed (`AssertUnwindSafe`). That does no harm: a store has no state in memory,
/// options are assigned after all checks, and results are handed out last.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(panic_text)
}

/// Runs the body of a function that cannot fail; if it panics, the answer is `default`.
pub(crate) fn or<T>(default: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(default)
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        // A payload of an unknown type may panic when it is dropped, here, outside of `catch_unwind`.
        (None, None) => {
            std::mem::forget(payload);
            return "panic".to_owned();
        }
    };
    format!("panic: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    #[test]
    fn a_panic_is_the_default() {
        assert_eq!(or(3, || resume_unwind(Box::new("x"))), 3);
        assert_eq!(or(3, || 4), 4);
    }
}

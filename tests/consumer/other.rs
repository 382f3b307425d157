//! Another Rust library, linked as an archive into the same program. It brings its own copy of Rust's standard library.

use std::panic;

/// The sum of the numbers below `count`; 0 if `count` is above 100, after a panic.
#[unsafe(no_mangle)]
pub extern "C" fn other_sum(count: u32) -> u32 {
    let sum = || {
        let numbers: Vec<u32> = (0..count).collect();
        // A panic that does not print.
        if count > 100 { panic::resume_unwind(Box::new(())) } else { numbers.iter().sum() }
    };
    panic::catch_unwind(sum).unwrap_or(0)
}

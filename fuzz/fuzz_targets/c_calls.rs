#![no_main]

#[path = "../../bindings/c/tests/hostile/mod.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hostile::calls(input));

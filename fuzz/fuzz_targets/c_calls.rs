#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chunked_upload_c::hostile::calls(input));

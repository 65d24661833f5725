#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgsonde_tests::fuzz::ingest(data));

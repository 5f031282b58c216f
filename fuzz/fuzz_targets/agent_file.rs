#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::agent_file::agent_file(data));

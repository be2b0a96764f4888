#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helloop_fuzz::hold("proxies", data));

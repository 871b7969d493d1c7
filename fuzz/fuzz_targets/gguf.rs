//! Any bytes, opened as GGUF.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| polysilicon_fuzz::lend(bytes, weights::entry::gguf));

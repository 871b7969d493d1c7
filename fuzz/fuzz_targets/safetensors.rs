//! Any bytes, opened as safetensors.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| polysilicon_fuzz::lend(bytes, weights::entry::safetensors));

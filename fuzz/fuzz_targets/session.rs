//! Any bytes, read as a session file.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| polysilicon::entry::session(bytes));

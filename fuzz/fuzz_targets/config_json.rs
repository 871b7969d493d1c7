//! Any bytes, read as config.json and described as a model.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| models::entry::config_json(bytes));

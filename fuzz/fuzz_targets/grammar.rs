//! Any bytes, compiled as a grammar and followed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // The grammar's parser catches panics of its own; only those that come out of it are found.
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| polysilicon_fuzz::lend(bytes, text::entry::grammar)
);

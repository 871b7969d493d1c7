//! Tests that do nothing, because this machine lacks what they need, say so.

use std::io::{Write, stdout};

/// Says that the test that runs is skipped, where nobody overlooks it: past the capture of what tests print, in a line
/// that `cargo xtask check` counts.
pub fn say(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // A closed output is nobody's loss here.
    let _ = stdout().write_all(format!("\nskipped: {test} {why}\n").as_bytes());
}

//! Where fuzzers come in: whatever the bytes, an answer and no panic.

/// A session file, up to its pages.
pub fn session(bytes: &[u8]) {
    let _ = crate::session::check_file(bytes);
}

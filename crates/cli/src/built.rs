//! What this program was built of, as its build script found it.

use serde_json::{Value, json};

use crate::prices::today;

/// The commit; empty where that is not known.
pub const COMMIT: &str = env!("POLYSILICON_COMMIT");

/// Whether sources had been changed since that commit.
pub fn is_dirty() -> bool {
    env!("POLYSILICON_DIRTY") == "true"
}

/// What it takes to measure the same again, beside the model and the device.
pub fn program() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT,
        "dirty": is_dirty(),
        "command": std::env::args().collect::<Vec<_>>(),
        "date": today().to_string(),
    })
}

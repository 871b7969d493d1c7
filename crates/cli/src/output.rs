//! What goes to standard output, flushed at once, and notes on standard error.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::Failure;

/// Writes text to standard output now.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes one JSON value as a line.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Writes pairs of a label and what it stands for, aligned.
pub fn print_table(rows: &[(&str, String)]) -> Result<(), Failure> {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let line = |(label, text): &(&str, String)| format!("{label:width$}  {text}\n");
    print(&rows.iter().map(line).collect::<String>())
}

/// Writes a line to standard error.
pub fn note(line: &str) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

//! What goes to standard output, flushed at once, and notes on standard error.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use polysilicon::Error;
use serde_json::Value;

use crate::failure::Failure;

/// Tables whose columns are all to the left.
pub const LEFT: usize = usize::MAX;

/// Where a text goes that the user named: a file, open before minutes are spent on what cannot be written, or standard output,
/// which is `-`.
pub enum Sink {
    Printed,
    File(PathBuf, File),
}

impl Sink {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Sink, Failure> {
        if path == Path::new("-") {
            return Ok(Sink::Printed);
        }
        let file = File::create(path).map_err(|error| Error::Write { path: path.to_owned(), error })?;
        Ok(Sink::File(path.to_owned(), file))
    }

    /// Whether it takes the place of what is printed else.
    pub fn is_printed(&self) -> bool {
        matches!(self, Sink::Printed)
    }

    /// Writes the text and ends.
    pub fn write(self, text: &str) -> Result<(), Failure> {
        match self {
            Sink::Printed => print(text),
            Sink::File(path, mut file) => {
                Ok(file.write_all(text.as_bytes()).map_err(|error| Error::Write { path, error })?)
            }
        }
    }
}

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

//! Why a model file could not be opened.

use std::io;
use std::path::PathBuf;

use crate::magic::Foreign;

/// Why a model file could not be opened. Whoever supplied the file must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path is not there or may not be read.
    #[error("`{path}` could not be opened: {error}")]
    Open {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system failed while the file's head was read, or the file shrank meanwhile.
    #[error("{file} could not be read at offset {offset}: {error}")]
    Read {
        /// The file's name.
        file: String,
        /// Offset in the file.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The folder holds no file of weights, or several with no index to join them.
    #[error("`{folder}` has no weights to open: {reason}")]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// The file is of another kind, whatever its name says.
    #[error("{file} is not a {wanted} file but {found}; {advice}", found = .foreign.what(), advice = .foreign.advice())]
    Foreign {
        /// The file's name.
        file: String,
        /// The kind that was asked for.
        wanted: &'static str,
        /// The kind that its first bytes show.
        foreign: Foreign,
    },
    /// The file contradicts its format or itself: it is damaged, cut short or hostile.
    #[error("{file} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The file's name.
        file: String,
        /// Offset in the file of what is wrong, or of what makes the claim that is wrong.
        offset: u64,
        /// What is wrong, naming the tensor or key.
        reason: String,
    },
    /// The file follows its format but uses something this reader does not.
    #[error("{file} cannot be used: {reason}")]
    Unsupported {
        /// The file's name.
        file: String,
        /// What it uses, and what to do.
        reason: String,
    },
    /// A part of a model that is split over several files is missing or does not belong to it.
    #[error("{file} names the part `{part}`, but {reason}")]
    Part {
        /// The file that names it.
        file: String,
        /// The part.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A name out of a file, made fit for a sentence: control characters escaped, and no longer than a line.
pub(crate) fn show(name: &str) -> String {
    name.chars().take(120).flat_map(char::escape_debug).collect()
}

//! What can go wrong with text. Every variant is a fault of a file or of a request, never of this crate.

/// Why a tokenizer, a configuration or stop strings were refused, or why text could not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file or a text is larger than this crate reads (act: whoever made the file or sent the text).
    #[error("the {what} is {bytes} bytes long, more than the {limit} allowed; make it smaller")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size, bytes.
        bytes: usize,
        /// The largest size taken, bytes.
        limit: usize,
    },
    /// A tokenizer file does not say what a tokenizer is (act: replace the file).
    #[error("the tokenizer cannot be used: {reason}; convert or download it again")]
    Tokenizer {
        /// What is wrong, in words.
        reason: String,
    },
    /// A tokenizer is of a kind that is not implemented (act: use another, or extend this crate).
    #[error(
        "the tokenizer's {part} \"{name}\" is not supported; use a byte-level or SentencePiece BPE tokenizer"
    )]
    Unsupported {
        /// The part of the tokenizer.
        part: &'static str,
        /// What the file calls it.
        name: String,
    },
    /// Text could not be encoded (act: caller; with a sound tokenizer this does not happen).
    #[error("the text could not be encoded: {reason}; check the tokenizer file")]
    Encode {
        /// What the tokenizer said.
        reason: String,
    },
    /// A configuration file is not JSON of the expected shape (act: replace the file).
    #[error("{file} cannot be read: {reason}; download it again")]
    Config {
        /// The file's usual name.
        file: &'static str,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// Stop strings outside what can be watched for (act: caller).
    #[error("the stop strings cannot be used: {reason}")]
    Stops {
        /// What is wrong.
        reason: String,
    },
    /// A chat template could not be read or rendered.
    #[error(transparent)]
    Template(#[from] crate::TemplateError),
}

impl TextError {
    pub(crate) fn tokenizer(reason: impl ToString) -> Self {
        Self::Tokenizer { reason: reason.to_string() }
    }
}

//! What can go wrong with a grammar.

use std::time::Duration;

/// What the parser says of its own insides and switches, and what that means to whoever wrote the grammar.
const MEANINGS: [(&str, &str); 6] = [
    ("NoExtensionBias", "it allows no text"),
    ("panic: ", "the parser gave up: "),
    ("Unimplemented keys:", "these keywords are not supported, leave them out:"),
    (
        "oneOf constraints are not supported. Enable 'coerce_one_of' option to approximate oneOf with anyOf",
        "options of oneOf that may overlap are not supported; write anyOf",
    ),
    (
        "Only absolute $ref's (#/...) are supported without 'referencing' feature; ref",
        "a $ref names a part of the same schema, as #/$defs/part does; it cannot be",
    ),
    (
        "max is 8000; consider making your grammar left-recursive if it's right-recursive",
        "8000 ways to go on are the most",
    ),
];

/// Why a grammar was refused, or could not be followed any further.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// More text than a grammar may have (act: caller).
    #[error("the {kind} has {bytes} bytes, more than the {limit} allowed; make it smaller")]
    TooLarge {
        /// JSON schema, regular expression and so on.
        kind: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest size taken.
        limit: usize,
    },
    /// A schema that is nested too deeply (act: caller).
    #[error("the JSON schema nests more than {limit} levels deep; flatten it, or name its parts in $defs")]
    TooDeep {
        /// Levels taken.
        limit: usize,
    },
    /// The grammar is not well formed, allows nothing, or asks for more than can be followed (act: caller).
    #[error("the {kind} cannot be used: {reason}")]
    Invalid {
        /// JSON schema, regular expression and so on.
        kind: &'static str,
        /// What is wrong, and where the place is known, where.
        reason: String,
    },
    /// Compiling took too long (act: caller).
    #[error("the {kind} was not ready after {limit:?}; make it simpler")]
    TooSlow {
        /// JSON schema, regular expression and so on.
        kind: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// Too many grammars are being compiled (act: caller, later).
    #[error("{limit} grammars are being compiled already; try again in a second")]
    Busy {
        /// How many may be at once.
        limit: usize,
    },
    /// The model's tokenizer cannot be used with grammars (act: use another model).
    #[error("grammars cannot be used with this model's tokenizer: {reason}")]
    Tokenizer {
        /// What is in the way.
        reason: String,
    },
    /// A token came that the grammar does not allow (act: whoever chose it; the mask tells what is allowed).
    #[error("token {token} is not allowed by the grammar here; choose among those of the mask")]
    NotAllowed {
        /// The token.
        token: u32,
    },
    /// The grammar allows nothing that this vocabulary can spell, or has become too large to follow (act: caller).
    #[error("the grammar cannot be followed any further: {reason}; make it simpler")]
    Stuck {
        /// What happened.
        reason: String,
    },
}

impl GrammarError {
    /// From what the parser says, of which the first line is the sentence and the rest are its insides.
    pub(super) fn invalid(kind: &'static str, error: impl ToString) -> Self {
        Self::Invalid { kind, reason: sentence(&error.to_string()) }
    }

    pub(super) fn stuck(error: impl ToString) -> Self {
        Self::Stuck { reason: sentence(&error.to_string()) }
    }
}

/// The line that tells most, and no more of it than a person reads.
fn sentence(message: &str) -> String {
    const CHARACTERS: usize = 240;
    let lines = || message.lines().map(str::trim).filter(|line| !line.is_empty());
    // Regular expressions are shown first, and then what is wrong with them.
    let line = lines().find_map(|line| line.strip_prefix("error: ")).or(lines().next());
    let line = line.unwrap_or("no reason is known");
    let line = MEANINGS.iter().fold(line.to_owned(), |line, (said, meant)| line.replacen(said, meant, 1));
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

//! Why costs cannot be told.

/// Why costs cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// A file of chips or prices is not what it should be: whoever wrote it should look.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A name that is none: the caller should look at what there is.
    #[error("{what} `{name}` is not in the catalogue; `polysilicon chips` lists what is{near}")]
    Unknown {
        /// Of what it was to be a name.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that are like it, with words before them; empty where there are none.
        near: String,
    },
    /// Words that are not understood: the caller should write them otherwise.
    #[error("{0}")]
    Word(String),
    /// What is asked of a chip is not known of it.
    #[error("{chip}: its {what} is not in the catalogue; add it in a file and name that with --prices")]
    NotKnown {
        /// The chip.
        chip: String,
        /// What is missing.
        what: String,
    },
}

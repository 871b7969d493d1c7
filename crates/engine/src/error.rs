//! What can go wrong, by who must act.

use graph::BackendError;

/// Why a request was not taken: the caller must ask for something else.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RefuseError {
    /// Nothing to continue.
    #[error("the prompt is empty; give at least one token")]
    EmptyPrompt,
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {tokens} tokens, and the context holds {context} with the answer; shorten it, or raise --context where the model declares more"
    )]
    PromptTooLong {
        /// Tokens given.
        tokens: usize,
        /// Tokens that fit, answer included.
        context: u32,
    },
    /// A token the model does not have.
    #[error(
        "token id {id} (in {place}) is not in the vocabulary of {vocab} tokens; was it made for another model?"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// Where it stands, in words.
        place: String,
        /// Ids are below this.
        vocab: u32,
    },
    /// A list longer than its bound.
    #[error("{given} {what} were given, and {limit} are the most; give fewer")]
    TooMany {
        /// What, in words.
        what: &'static str,
        /// How many.
        given: usize,
        /// How many may be.
        limit: usize,
    },
    /// A number outside its range.
    #[error("{name} is {value} and must be {range}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f32,
        /// What it may be, in words.
        range: &'static str,
    },
    /// Steps are in flight.
    #[error("the engine is in the middle of a step; wait for its end")]
    Busy,
    /// Too many requests are alive.
    #[error(
        "{alive} requests are waiting or running, and {limit} are the most; try again when some have ended"
    )]
    Full {
        /// How many there are.
        alive: u32,
        /// How many there may be.
        limit: u32,
    },
}

/// Why the engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The caller must ask for something else.
    #[error(transparent)]
    Refused(#[from] RefuseError),
    /// The device failed or cannot do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The device has too few pages for any request: the operator must give it more memory.
    #[error(
        "the device has room for {pages} pages of state in group {group}, and a request needs 2 with the bin; allow more with --memory"
    )]
    NoRoom {
        /// The group.
        group: usize,
        /// Pages there are.
        pages: u32,
    },
    /// The logits are not finite: the file is damaged, or a kernel is wrong.
    #[error(
        "the model's logits are not numbers; its weights are damaged, or the device is wrong, which `polysilicon diff` tells"
    )]
    NotNumbers,
    /// A prefix was to be written that is not kept any more.
    #[error("the state of {positions} positions is kept no longer; compute them again")]
    NotKept {
        /// How many.
        positions: u32,
    },
    /// What was read is not what was written.
    #[error("the state that was read is damaged: {0}")]
    Damaged(String),
    /// The form of an answer could not be kept to.
    #[error("the answer's grammar failed: {0}")]
    Grammar(String),
    /// The device's answer does not fit what it was asked: a bug of the backend.
    #[error(
        "the device gave {given} {what} for a step that asked for {wanted}; please report this as a bug of the backend"
    )]
    Answer {
        /// What, in words.
        what: &'static str,
        /// How many, or which.
        given: usize,
        /// How many there should be, or the bound.
        wanted: usize,
    },
}

//! Everything that can go wrong, each a sentence that says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{EngineError, RefuseError};
use graph::BackendError;
use models::{ConfigError, GgufError, ModelError};
use text::{GrammarError, TextError};
use weights::FileError;
use weights::gguf::WriteError;

use crate::Shortage;
use crate::hub::HubError;
use crate::session::SessionError;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name: the caller should look at what was tried.
    #[error("there is no model `{model}`: {tried}")]
    NoModel {
        /// What was asked for.
        model: String,
        /// What was looked for and where.
        tried: String,
    },
    /// A file beside the weights could not be read.
    #[error("{path} could not be read: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What something costs cannot be told.
    #[error(transparent)]
    Cost(#[from] cost::CostError),
    /// A file of results could not be written.
    #[error("{path} could not be written: {error}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is where one was to be written.
    #[error("{path} is there already; name another file, or ask for it to be overwritten (--force)", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file's contents could not be made.
    #[error(transparent)]
    Unwritten(#[from] WriteError),
    /// GGUF has no way to say what the model is.
    #[error("{model} cannot be written as a GGUF file: {reason}")]
    NotGguf {
        /// The model.
        model: String,
        /// What cannot be said.
        reason: String,
    },
    /// The weights' file is damaged or of a kind nobody here reads.
    #[error(transparent)]
    Weights(#[from] FileError),
    /// The configuration is no model's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The GGUF file's metadata is no model's.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Configuration and weights do not agree.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer or the template is damaged, or the text does not suit them.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The grammar cannot be used: the caller should write another.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// The hub or its cache.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The request cannot be served: the caller should ask for something else.
    #[error(transparent)]
    Refused(#[from] RefuseError),
    /// A session could not be kept or gone on with.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The engine or the device failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A step of a generation failed.
    #[error(transparent)]
    Step(Arc<EngineError>),
    /// The device cannot do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The model does not fit the memory it may take. Nothing was read.
    #[error("{0}")]
    Memory(Box<Shortage>),
    /// The description of a model breaks a rule of graphs: a bug here.
    #[error("the model's graph is not sound; please report this: {0}")]
    Graph(#[from] graph::VerifyError),
    /// Keys and values cannot be kept in this type.
    #[error(
        "keys and values of {elements} elements per token and layer cannot be kept in {kv}; choose f32, f16 or bf16"
    )]
    Kv {
        /// The type asked for.
        kv: tensor::DType,
        /// Elements of one slot.
        elements: usize,
    },
    /// No such device here.
    #[error("{device} is not there: {looked}. Devices present: {present}")]
    NoDevice {
        /// What was asked for.
        device: String,
        /// What was looked for.
        looked: String,
        /// What there is.
        present: String,
    },
    /// A word that is not what it should be.
    #[error("{0}")]
    Word(String),
    /// Text that cannot fit, seen before it is encoded.
    #[error("the text has {bytes} bytes, far more than a context of {context} tokens can hold; shorten it")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// Tokens that fit.
        context: u32,
    },
    /// A text that is too short to measure anything by.
    #[error("the text has {tokens} tokens, and at least {least} are needed to measure a model by it")]
    TextTooShort {
        /// Its tokens.
        tokens: usize,
        /// The fewest that will do.
        least: u32,
    },
    /// Predictions of models with unlike vocabularies were to be compared.
    #[error("{a} and {b} cannot be compared, for their vocabularies differ: {reason}")]
    Vocabularies {
        /// One of them.
        a: String,
        /// The other.
        b: String,
        /// How they differ.
        reason: String,
    },
    /// Text was given to, or asked of, a model without a tokenizer.
    #[error("this model has no tokenizer; give token ids (--ids) instead of text")]
    NoTokenizer,
    /// A conversation was given to a model without a chat template.
    #[error("this model has no chat template; use `run` with a plain prompt")]
    NoTemplate,
    /// The model's thread is gone, after a panic that is a bug here.
    #[error("the model's thread has stopped; open the model again, and please report what it printed")]
    Stopped,
}

//! Open a model on a device, generate, stream.
//!
//! ```
//! use polysilicon::{Device, Model, Sampling};
//!
//! let model = Model::open("embedded")?.device(Device::Auto).load()?;
//! let mut stream = model.generate("Once upon a time", &Sampling::default().max_tokens(8))?;
//! while let Some(piece) = stream.next() {
//!     print!("{}", piece?.text);
//! }
//! let receipt = stream.receipt().expect("the stream has ended");
//! assert_eq!(receipt.completion_tokens, 8);
//! # Ok::<(), polysilicon::Error>(())
//! ```

#![forbid(unsafe_code)]

mod beams;
pub mod bench;
mod best;
mod books;
mod budget;
mod builder;
mod compile;
mod device;
mod diff;
mod disturbance;
mod energy;
#[doc(hidden)]
pub mod entry;
mod error;
mod facts;
pub mod hub;
mod model;
mod neuron_chips;
mod numbers;
mod open;
mod partial;
mod perplexity;
mod pipe;
mod progress;
mod quantize;
mod sampling;
mod session;
mod show;
mod speculation;
mod stream;
mod tokens;
pub mod traffic;
mod words;
mod worker;

pub use beams::{Beams, Found};
pub use budget::Shortage;
pub use builder::Builder;
pub use compile::{Compile, Compiled, Compiling};
/// Chips and prices, plans, and what tokens cost.
pub use cost;
/// How activations are rounded for products.
pub use cpu::Precision;
/// Cores that this process may use.
pub use cpu::measure::cores;
pub use device::{
    Bound, Choices, Device, DeviceInfo, Gauge, Limits, Measured, Measuring, MemoryNode, Processor, Rates,
    Unit, devices, measure_devices,
};
pub use diff::{Diff, Divergence, TOLERANCE, diff, diff_models};
pub use error::Error;
pub use facts::Facts;
/// The graph and the two traits of a backend, for those who bring one of their own.
pub use graph;
/// What tokens lose that would go on with a repetition.
pub use graph::Dry;
/// One step of a model.
pub use graph::Graph;
pub use model::{Logits, Model, Probed};
pub use open::Opened;
pub use perplexity::{Against, Fit, Perplexity, Scores};
pub use progress::Progress;
pub use quantize::{Quantize, Quantized, quantize};
pub use sampling::Sampling;
pub use session::{Session, SessionError};
pub use show::Stage;
pub use speculation::Speculation;
pub use stream::{Cost, FinishReason, Piece, Prompt, Receipt, Stream, Told};
/// The type of weights, and of keys and values.
pub use tensor::DType;
pub use text::{Conversation, GrammarError, GrammarSource, MAX_GRAMMAR_BYTES};
/// What `quantize` changes weights to.
pub use weights::Target;
pub use words::Grammar;

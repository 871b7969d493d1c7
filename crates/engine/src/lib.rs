//! Turns requests of token ids into steps of a device and steps into tokens.
//!
//! The engine knows integers: tokens, pages, slots, positions. It never sees a tensor, a tokenizer or a connection.
//! [`Engine::start`] takes a request, [`Engine::step`] advances it and gives [`Event`]s. Where the device overlaps,
//! two steps are in flight at a time, so it works while the caller turns tokens into text. One request runs at a time for now; pages, feed
//! and rows are those of many.

#![forbid(unsafe_code)]

mod batch;
mod clock;
mod engine;
mod error;
mod event;
mod facts;
pub mod limits;
pub mod null;
mod page_pool;
mod page_table;
mod programs;
mod prompt;
mod random;
mod request;
mod roster;
mod sequence;
mod step;

pub use engine::Engine;
pub use error::{EngineError, RefuseError};
pub use event::{Ending, Event, Events, Finish, Usage};
pub use facts::Facts;
pub use page_pool::PagePool;
pub use prompt::Probe;
pub use random::uniform;
pub use request::Request;
pub use roster::SequenceId;

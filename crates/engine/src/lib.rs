//! Turns requests of token ids into steps of a device and steps into tokens.
//!
//! The engine knows integers: tokens, pages, slots, positions. It never sees a tensor, a tokenizer or a connection.
//! [`Engine::start`] takes a request, [`Engine::step`] advances all that run and gives [`Event`]s. Every step holds what
//! is ready: a token of each sequence that decodes, and as much of prompts as there is room for. Where the device
//! overlaps, two steps are in flight at a time, so it works while the caller turns tokens into text.

#![forbid(unsafe_code)]

mod batch;
mod beams;
mod clock;
mod engine;
mod error;
mod event;
mod facts;
mod flight;
mod grammar;
mod kept;
pub mod limits;
mod line;
mod meter;
pub mod null;
mod page_pool;
mod page_table;
mod pages;
mod policy;
mod prefix;
mod programs;
mod prompt;
mod random;
mod request;
mod roster;
mod schedule;
mod scores;
mod sequence;
#[cfg(test)]
mod simulation;
mod speculate;
mod step;

pub use beams::BeamSearch;
pub use clock::Clock;
pub use engine::Engine;
pub use error::{EngineError, RefuseError};
pub use event::{Ending, Event, Events, Finish, Usage};
pub use facts::Facts;
pub use grammar::Grammar;
pub use kept::pages_of;
pub use meter::{Account, Ran};
pub use page_pool::{Granted, PagePool};
pub use prompt::Probe;
pub use random::uniform;
pub use request::Request;
pub use roster::SequenceId;
pub use speculate::{Ask, DraftModel, Drafter, PromptLookup};

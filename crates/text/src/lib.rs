//! Text: tokenizers, chat templates, incremental decoding, stop strings and grammars.
//!
//! A request's text becomes token ids in two ways. Plain text goes through [`Tokenizer::encode`]. A conversation is
//! rendered by a [`ChatTemplate`] and goes through [`Tokenizer::encode_chat`], where the template's control tokens count
//! and those a user typed do not. Ids become text through a [`Decoder`], which never splits a character, and [`Stops`]
//! ends it at a stop string. A [`Grammar`] says which tokens may come, where the text must be of a form. All input may
//! be hostile: files, templates, grammars and text end in a result or an error, in bounded time and memory.

#![forbid(unsafe_code)]

mod config;
mod decoder;
pub mod entry;
mod error;
mod grammar;
mod stops;
mod template;
mod tokenizer;

pub use config::{TokenizerConfig, generation_eos};
pub use decoder::Decoder;
pub use error::TextError;
pub use grammar::{
    Grammar, GrammarError, GrammarLimits, GrammarSource, Lexicon, MAX_CHOICES, MAX_GRAMMAR_BYTES,
    MAX_GRAMMAR_DEPTH, Matcher,
};
pub use stops::{MAX_STOP_BYTES, MAX_STOPS, Passed, Stops};
pub use template::{
    ChatTemplate, Clock, Conversation, MAX_RENDERED_BYTES, MAX_TEMPLATE_BYTES, TemplateError,
};
pub use tokenizer::{MAX_TEXT_BYTES, Tokenizer, Vocabulary};

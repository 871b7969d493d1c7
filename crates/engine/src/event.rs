//! What a step tells the caller.

use std::ops::Range;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use graph::Fetch;

use crate::beams::Answer;
use crate::meter::Account;
use crate::{EngineError, SequenceId};

/// Something that happened to a sequence. Every sequence ends in exactly one [`Event::Finished`] or
/// [`Event::Failed`], unless the caller cancels it: then [`crate::Engine::cancel`] gives the ending.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A token was made.
    Token {
        /// Whose.
        sequence: SequenceId,
        /// The token.
        id: u32,
        /// Its log-probability under the model's own distribution.
        logprob: f32,
        /// The likeliest tokens there with their log-probabilities, as many as the request asked for.
        top: &'a [(u32, f32)],
        /// `[V]` the logits it was drawn from; empty where the request did not ask.
        logits: &'a [f32],
        /// What the sequence has used so far.
        usage: Usage,
    },
    /// A token of the prompt, where the request asks what the model thinks of them. All come before the first token that
    /// is made, in order; there is none for the first, which follows nothing.
    Prompt {
        /// Whose.
        sequence: SequenceId,
        /// Its place in the prompt.
        position: u32,
        /// The token.
        id: u32,
        /// Its log-probability behind those before it.
        logprob: f32,
        /// The likeliest tokens there with their log-probabilities, as many as the request asked for.
        top: &'a [(u32, f32)],
    },
    /// An answer that a search has found. All come at its end, the best first.
    Answer {
        /// The search.
        sequence: SequenceId,
        /// Its tokens.
        tokens: &'a [u32],
        /// Their log-probability, in all.
        logprob: f64,
        /// The same over its length to the power of the length penalty.
        score: f64,
        /// How it ended.
        finish: Finish,
    },
    /// The sequence is complete and gone.
    Finished {
        /// Which.
        sequence: SequenceId,
        /// How.
        ending: Ending,
    },
    /// A step of the sequence failed; it is gone, and the engine can take others.
    Failed {
        /// Which.
        sequence: SequenceId,
        /// Why; shared by all sequences of the step.
        error: Arc<EngineError>,
    },
}

/// How a sequence ended and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why no more tokens came.
    pub finish: Finish,
    /// What it used.
    pub usage: Usage,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// One of the request's stop ids came.
    Stop,
    /// The tokens asked for are made, or the context is full.
    Length,
    /// The caller no longer wanted it.
    Cancelled,
    /// Its deadline has passed.
    Deadline,
}

/// What a sequence used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Those among them that needed no computation.
    pub cached_tokens: u32,
    /// Tokens made.
    pub completion_tokens: u32,
    /// Tokens that were guessed.
    pub drafted_tokens: u32,
    /// Those among them that were right.
    pub accepted_tokens: u32,
    /// From the start to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Its share of what the device worked on its steps, by tokens.
    pub device: Duration,
}

/// The events of one step, in order.
#[derive(Debug)]
pub struct Events<'a> {
    pub(crate) records: slice::Iter<'a, Record>,
    pub(crate) fetch: &'a Fetch,
    pub(crate) account: Account<'a>,
}

impl<'a> Events<'a> {
    /// How long the device worked on the step these events come from.
    pub fn device_time(&self) -> Duration {
        Duration::from_nanos(self.fetch.device_ns)
    }

    /// Where the time went since the events before these.
    pub fn account(&self) -> Account<'a> {
        self.account
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        self.records.next().map(|record| match record {
            Record::Token { sequence, row, top, logits, usage } => {
                let sampled = self.fetch.sampled[*row];
                Event::Token {
                    sequence: *sequence,
                    id: sampled.id,
                    logprob: sampled.logprob,
                    top: &self.fetch.top[top.clone()],
                    logits: &self.fetch.logits[logits.clone()],
                    usage: *usage,
                }
            }
            Record::Prompt { sequence, position, id, logprob, top } => Event::Prompt {
                sequence: *sequence,
                position: *position,
                id: *id,
                logprob: *logprob,
                top: &self.fetch.top[top.clone()],
            },
            Record::Answer { sequence, answer } => Event::Answer {
                sequence: *sequence,
                tokens: &answer.tokens,
                logprob: answer.logprob,
                score: answer.score,
                finish: answer.finish,
            },
            Record::Finished { sequence, ending } => Event::Finished { sequence: *sequence, ending: *ending },
            Record::Failed { sequence, error } => Event::Failed { sequence: *sequence, error: error.clone() },
        })
    }
}

/// An event as the engine keeps it: places in the step's fetch, so that nothing is copied.
#[derive(Debug)]
pub(crate) enum Record {
    Token { sequence: SequenceId, row: usize, top: Range<usize>, logits: Range<usize>, usage: Usage },
    Prompt { sequence: SequenceId, position: u32, id: u32, logprob: f32, top: Range<usize> },
    Answer { sequence: SequenceId, answer: Answer },
    Finished { sequence: SequenceId, ending: Ending },
    Failed { sequence: SequenceId, error: Arc<EngineError> },
}

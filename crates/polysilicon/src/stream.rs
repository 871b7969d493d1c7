//! A generation, piece by piece.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Ending, Finish};
use text::{Decoder, Stops};

use crate::Error;
use crate::worker::{Listener, Message, Token, Worker};

/// What to continue: text, or token ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text, encoded with the tokens that the model wants before it.
    Text(String),
    /// Token ids as they are.
    Ids(Vec<u32>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Prompt {
        Prompt::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Prompt {
        Prompt::Text(text)
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(ids: Vec<u32>) -> Prompt {
        Prompt::Ids(ids)
    }
}

impl From<&[u32]> for Prompt {
    fn from(ids: &[u32]) -> Prompt {
        Prompt::Ids(ids.to_vec())
    }
}

/// One token and the text that became certain with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Text; empty where the token completes no character, is a control token, or may begin a stop string.
    pub text: String,
    /// The token; `None` for the text that was held back until the end.
    pub id: Option<u32>,
    /// Its log-probability.
    pub logprob: f32,
    /// The likeliest tokens there, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// An end token or a stop string.
    Stop,
    /// The tokens asked for are made, or the context is full.
    Length,
}

impl FinishReason {
    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }
}

/// What a generation used.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The tokens made, the end token included.
    pub ids: Vec<u32>,
    /// The text made.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Those among them that needed no computation.
    pub cached_tokens: u32,
    /// Tokens made.
    pub completion_tokens: u32,
    /// From the request to the first token.
    pub first_token: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// What the device worked.
    pub device: Duration,
}

impl Receipt {
    /// Tokens per second after the first; 0 where there was one at most.
    pub fn decode_tokens_per_s(&self) -> f64 {
        let steps = self.completion_tokens.saturating_sub(1);
        if steps == 0 { 0.0 } else { f64::from(steps) / self.decode.as_secs_f64().max(1e-9) }
    }
}

/// A generation in progress. Dropping it cancels.
pub struct Stream {
    listener: Option<Listener>,
    decoder: Option<Decoder>,
    stops: Stops,
    ids: Vec<u32>,
    text: String,
    prompt_tokens: u32,
    start: Instant,
    first: Option<Instant>,
    last: Instant,
    device: Duration,
    receipt: Option<Receipt>,
    /// The model's thread lives as long as anyone listens to it. Dropped after `listener`, so that its last work is
    /// cancelled and not waited for.
    _worker: Arc<Worker>,
}

impl Stream {
    pub(crate) fn new(
        listener: Listener,
        decoder: Option<Decoder>,
        stops: Stops,
        prompt_tokens: u32,
        worker: Arc<Worker>,
    ) -> Stream {
        let start = Instant::now();
        Stream {
            listener: Some(listener),
            decoder,
            stops,
            ids: vec![],
            text: String::new(),
            prompt_tokens,
            start,
            first: None,
            last: start,
            device: Duration::ZERO,
            receipt: None,
            _worker: worker,
        }
    }

    /// What the generation used, once it has ended.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// Everything that is still to come, and then the receipt.
    pub fn finish(mut self) -> Result<Receipt, Error> {
        for piece in &mut self {
            piece?;
        }
        self.receipt.ok_or(Error::Stopped)
    }

    /// Takes a token that the engine made at a time, in a step that took the device so long.
    fn token(&mut self, Token { id, logprob, top }: Token, at: Instant, device: Duration) -> Piece {
        self.last = at;
        self.device += device;
        self.first.get_or_insert(at);
        self.ids.push(id);
        let decoded = self.decoder.as_mut().map_or(String::new(), |decoder| decoder.push(id));
        let passed = self.stops.push(&decoded);
        self.text += &passed.text;
        if passed.stop.is_some() {
            self.end(FinishReason::Stop, None);
        }
        Piece { text: passed.text, id: Some(id), logprob, top }
    }

    /// The text that was held back, where there is any.
    fn rest(&mut self) -> Option<Piece> {
        let decoded = self.decoder.take().map_or(String::new(), Decoder::finish);
        let mut text = self.stops.push(&decoded).text;
        text += &std::mem::take(&mut self.stops).finish();
        self.text += &text;
        (!text.is_empty()).then(|| Piece { text, id: None, logprob: 0.0, top: vec![] })
    }

    fn end(&mut self, finish_reason: FinishReason, ending: Option<Ending>) {
        self.listener = None;
        let first = self.first.unwrap_or(self.last);
        let usage = ending.map(|ending| ending.usage).unwrap_or_default();
        let completion_tokens = self.ids.len() as u32;
        self.receipt = Some(Receipt {
            finish_reason,
            ids: std::mem::take(&mut self.ids),
            text: std::mem::take(&mut self.text),
            prompt_tokens: self.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            completion_tokens,
            first_token: first - self.start,
            decode: self.last - first,
            device: usage.device.max(self.device),
        });
    }
}

impl Iterator for Stream {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Result<Piece, Error>> {
        match self.listener.as_ref()?.messages.recv() {
            Ok(Message::Token { token, at, device }) => Some(Ok(self.token(token, at, device))),
            Ok(Message::Ended(ending)) => {
                let rest = self.rest();
                let reason = match ending.finish {
                    Finish::Stop => FinishReason::Stop,
                    _ => FinishReason::Length,
                };
                self.end(reason, Some(ending));
                rest.map(Ok)
            }
            Ok(Message::Failed(error)) => {
                self.listener = None;
                Some(Err(error))
            }
            Err(_) => {
                self.listener = None;
                Some(Err(Error::Stopped))
            }
        }
    }
}

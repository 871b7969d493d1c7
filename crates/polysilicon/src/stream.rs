//! A generation, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cost::{Charge, Price};
use engine::{Finish, Usage};
use text::{Decoder, Stops};

use crate::Error;
use crate::session::Recording;
use crate::worker::{Listener, Message, Token};

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
    /// The time allowed has passed.
    Deadline,
}

impl FinishReason {
    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Deadline => "deadline",
        }
    }
}

impl From<Finish> for FinishReason {
    fn from(finish: Finish) -> FinishReason {
        match finish {
            Finish::Stop => FinishReason::Stop,
            Finish::Deadline => FinishReason::Deadline,
            _ => FinishReason::Length,
        }
    }
}

/// What the model thinks of a token of the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The token.
    pub id: u32,
    /// Its log-probability behind those before it.
    pub logprob: f32,
    /// The likeliest tokens there, as many as were asked for.
    pub top: Vec<(u32, f32)>,
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
    /// The log-probability of the tokens made, together.
    pub logprob: f64,
    /// What the model thinks of the prompt's tokens but the first, where that was asked for.
    pub prompt_logprobs: Vec<Told>,
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
    /// From the request to the first token.
    pub first_token: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// What the device worked.
    pub device: Duration,
    /// What it was charged, and what that costs.
    pub cost: Cost,
}

/// What a generation was charged, and what that costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Its share of the steps that it was in.
    pub charge: Charge,
    /// What an hour of the machine costs, where anybody has said: see [`Builder::price`](crate::Builder::price).
    pub price: Option<Price>,
}

impl Cost {
    /// Dollars, where there is a price.
    pub fn dollars(&self) -> Option<f64> {
        Some(self.charge.dollars(self.price.as_ref()?))
    }
}

impl Receipt {
    /// Tokens per second after the first; 0 where there was one at most.
    pub fn decode_tokens_per_s(&self) -> f64 {
        let steps = self.completion_tokens.saturating_sub(1);
        if steps == 0 { 0.0 } else { f64::from(steps) / self.decode.as_secs_f64().max(1e-9) }
    }
}

/// A generation in progress: an iterator that blocks, and a `futures` stream that does not. Dropping it cancels; one that
/// is not read waits, and nobody else with it.
pub struct Stream {
    listener: Option<Listener>,
    decoder: Option<Decoder>,
    stops: Stops,
    ids: Vec<u32>,
    text: String,
    logprob: f64,
    told: Vec<Told>,
    prompt_tokens: u32,
    start: Instant,
    first: Option<Instant>,
    last: Instant,
    usage: Usage,
    charge: Charge,
    price: Option<Price>,
    receipt: Option<Receipt>,
    /// The session that the tokens become part of.
    record: Option<Recording>,
}

impl Stream {
    pub(crate) fn new(
        listener: Listener,
        decoder: Option<Decoder>,
        stops: Stops,
        prompt_tokens: u32,
    ) -> Stream {
        let start = Instant::now();
        Stream {
            listener: Some(listener),
            decoder,
            stops,
            ids: vec![],
            text: String::new(),
            logprob: 0.0,
            told: vec![],
            prompt_tokens,
            start,
            first: None,
            last: start,
            usage: Usage::default(),
            charge: Charge::default(),
            price: None,
            receipt: None,
            record: None,
        }
    }

    /// Lets the tokens become part of a session as they are read.
    pub(crate) fn recorded(mut self, record: Recording) -> Stream {
        self.record = Some(record);
        self
    }

    /// Puts a price on what it is charged.
    pub(crate) fn priced(mut self, price: Option<Price>) -> Stream {
        self.price = price;
        self
    }

    /// What the generation used, once it has ended.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// What the model thinks of the prompt's tokens but the first, where that was asked for: all of it once the first token
    /// is there, and none once the receipt is.
    pub fn prompt_logprobs(&self) -> &[Told] {
        &self.told
    }

    /// What the device has worked for it so far.
    pub fn device_time(&self) -> Duration {
        Duration::from_secs_f64(self.charge.device_s())
    }

    /// Everything that is still to come, and then the receipt.
    pub fn finish(mut self) -> Result<Receipt, Error> {
        for piece in &mut self {
            piece?;
        }
        self.receipt.ok_or(Error::Stopped)
    }

    /// Takes a token that the engine made at a time.
    fn token(&mut self, Token { id, logprob, top }: Token, at: Instant) -> Piece {
        self.last = at;
        self.first.get_or_insert(at);
        self.ids.push(id);
        self.logprob += f64::from(logprob);
        if let Some(record) = &self.record {
            record.push(id);
        }
        let decoded = self.decoder.as_mut().map_or(String::new(), |decoder| decoder.push(id));
        let passed = self.stops.push(&decoded);
        self.text += &passed.text;
        if passed.stop.is_some() {
            // The model's thread does not know yet that nothing more is wanted.
            self.listener.take().into_iter().for_each(|listener| listener.settle(self.charge));
            self.end(FinishReason::Stop);
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

    fn end(&mut self, finish_reason: FinishReason) {
        self.listener = None;
        self.record = None;
        let first = self.first.unwrap_or(self.last);
        let completion_tokens = self.ids.len() as u32;
        self.receipt = Some(Receipt {
            finish_reason,
            ids: std::mem::take(&mut self.ids),
            text: std::mem::take(&mut self.text),
            logprob: self.logprob,
            prompt_logprobs: std::mem::take(&mut self.told),
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.usage.cached_tokens,
            completion_tokens,
            drafted_tokens: self.usage.drafted_tokens,
            accepted_tokens: self.usage.accepted_tokens,
            first_token: first - self.start,
            decode: self.last - first,
            device: Duration::from_secs_f64(self.charge.device_s()),
            cost: Cost { charge: self.charge, price: self.price.take() },
        });
    }
}

impl Stream {
    /// What a message means to the reader, if it is to be told: a piece, or the end.
    fn hear(&mut self, message: Option<Message>) -> Option<Option<Result<Piece, Error>>> {
        Some(match message {
            Some(Message::Prompt(told)) => {
                self.told.push(told);
                return None;
            }
            Some(Message::Answer { .. }) => return None,
            Some(Message::Token { token, at, usage, charge }) => {
                (self.usage, self.charge) = (usage, charge);
                Some(Ok(self.token(token, at)))
            }
            Some(Message::Ended(ending, charge)) => {
                let rest = self.rest();
                (self.usage, self.charge) = (ending.usage, charge);
                self.end(ending.finish.into());
                rest.map(Ok)
            }
            Some(Message::Failed(error)) => {
                (self.listener, self.record) = (None, None);
                Some(Err(error))
            }
            None => {
                (self.listener, self.record) = (None, None);
                Some(Err(Error::Stopped))
            }
        })
    }
}

impl Iterator for Stream {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Result<Piece, Error>> {
        loop {
            let message = self.listener.as_ref()?.read();
            if let Some(heard) = self.hear(message) {
                return heard;
            }
        }
    }
}

impl futures_core::Stream for Stream {
    type Item = Result<Piece, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Piece, Error>>> {
        let stream = self.get_mut();
        loop {
            let Some(listener) = &stream.listener else { return Poll::Ready(None) };
            let Poll::Ready(message) = listener.poll_read(context) else { return Poll::Pending };
            if let Some(heard) = stream.hear(message) {
                return Poll::Ready(heard);
            }
        }
    }
}

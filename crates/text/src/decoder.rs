//! Tokens to text, one at a time, never splitting a character.

use std::sync::Arc;

use crate::tokenizer::pieces::{First, Pieces};

/// Turns a stream of token ids into text as soon as it is certain.
///
/// At most three bytes are held back (the start of a character); each token costs time in its own length, however
/// long the stream. The pieces of [`push`](Self::push) and [`finish`](Self::finish), joined, are the text of all the
/// ids at once. Ids that no token has are skipped, as `transformers` does.
#[derive(Debug, Clone)]
pub struct Decoder {
    pieces: Arc<Pieces>,
    skip_control: bool,
    /// The start of a character whose other bytes have not come.
    pending: Vec<u8>,
    /// Spaces still to be taken off the front of the text.
    strip: usize,
    started: bool,
}

impl Decoder {
    pub(crate) fn new(pieces: Arc<Pieces>, skip_control: bool) -> Self {
        let strip = match pieces.rule.first {
            First::Strip(spaces) => spaces,
            First::Keep | First::DropInFirstToken => 0,
        };
        Self { pieces, skip_control, pending: Vec::new(), strip, started: false }
    }

    pub(crate) fn within(pieces: Arc<Pieces>, skip_control: bool) -> Self {
        Self { strip: 0, started: true, ..Self::new(pieces, skip_control) }
    }

    /// Takes one token and returns the text that it made certain; often all of its own, sometimes none.
    pub fn push(&mut self, id: u32) -> String {
        let Some(bytes) = self.pieces.bytes(id) else { return String::new() };
        if self.skip_control && self.pieces.is_control(id) {
            return String::new();
        }
        if !self.started && self.pieces.rule.first == First::DropInFirstToken {
            self.pending.extend(bytes.iter().filter(|&&byte| byte != b' '));
        } else {
            self.pending.extend(self.pieces.rule.joiner.filter(|_| self.started));
            self.pending.extend_from_slice(bytes);
        }
        self.started = true;
        let text = self.settle(false);
        self.stripped(text)
    }

    /// Ends the stream: what was held back can no longer become a character and is returned as U+FFFD.
    pub fn finish(mut self) -> String {
        let text = self.settle(true);
        self.stripped(text)
    }

    /// Moves every certain character out of `pending`; bytes that cannot be part of one become U+FFFD.
    fn settle(&mut self, last: bool) -> String {
        let mut text = String::with_capacity(self.pending.len());
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = broken;
                    let length = match error.error_len() {
                        Some(length) => length,
                        None if last => broken.len(),
                        None => break,
                    };
                    let marks = if self.pieces.rule.marks_each_byte() { length } else { 1 };
                    text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, marks));
                    rest = &rest[length..];
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    fn stripped(&mut self, text: String) -> String {
        if self.strip == 0 || text.is_empty() {
            return text;
        }
        let spaces = text.bytes().take(self.strip).take_while(|&byte| byte == b' ').count();
        self.strip = if spaces == text.len() { self.strip - spaces } else { 0 };
        text[spaces..].to_owned()
    }
}

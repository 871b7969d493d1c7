//! What each token means as bytes, computed once when a tokenizer is loaded: decoding is then a table look-up,
//! and a token's bytes do not depend on its neighbours, but for the rules in [`Rule`].

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use tokenizers::DecoderWrapper;

use super::alphabet;
use crate::TextError;

/// Most tokens of a vocabulary; ids are below this. The largest vocabularies known have 2^18 to 2^20.
pub(crate) const MAX_VOCABULARY: usize = 1 << 22;

const PRESENT: u8 = 1;
const CONTROL: u8 = 2;

/// The texts and bytes of all tokens, by id.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) rule: Rule,
    texts: Table,
    bytes: Table,
    flags: Vec<u8>,
}

/// One token as a loader found it.
pub(crate) struct Piece<'a> {
    pub(crate) id: u32,
    pub(crate) text: &'a str,
    /// Already the text it stands for, not in the vocabulary's spelling.
    pub(crate) verbatim: bool,
}

impl Pieces {
    /// Lays out the table. Of two pieces with one id the first counts.
    pub(crate) fn new(
        rule: Rule,
        mut pieces: Vec<Piece<'_>>,
        control: &HashSet<&str>,
    ) -> Result<Self, TextError> {
        pieces.sort_by_key(|piece| piece.id);
        pieces.dedup_by_key(|piece| piece.id);
        let size = pieces.last().map_or(0, |last| last.id as usize + 1);
        if size > MAX_VOCABULARY {
            let reason = format!("token id {} is beyond the {MAX_VOCABULARY} allowed", size - 1);
            return Err(TextError::Tokenizer { reason });
        }
        let mut table = Self { rule, texts: Table::default(), bytes: Table::default(), flags: vec![0; size] };
        for piece in pieces {
            let id = piece.id as usize;
            table.flags[id] = PRESENT | if control.contains(piece.text) { CONTROL } else { 0 };
            table.texts.put(id, |out| out.extend_from_slice(piece.text.as_bytes()));
            table.bytes.put(id, |out| match piece.verbatim {
                true => out.extend_from_slice(piece.text.as_bytes()),
                false => table.rule.spell(piece.text, out),
            });
        }
        Ok(table)
    }

    pub(crate) fn len(&self) -> usize {
        self.flags.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        // The table was filled from strings, so this is never invalid.
        self.present(id).and_then(|id| std::str::from_utf8(self.texts.at(id)).ok())
    }

    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.present(id).map(|id| self.bytes.at(id))
    }

    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.flags.get(id as usize).is_some_and(|flags| flags & CONTROL != 0)
    }

    fn present(&self, id: u32) -> Option<usize> {
        let id = id as usize;
        self.flags.get(id).is_some_and(|flags| flags & PRESENT != 0).then_some(id)
    }
}

/// Byte strings laid end to end; much smaller than a `Vec<String>` of short strings.
#[derive(Debug, Default)]
struct Table {
    blob: Vec<u8>,
    ends: Vec<usize>,
}

impl Table {
    /// Ids must come in rising order; the ones left out are empty.
    fn put(&mut self, id: usize, append: impl FnOnce(&mut Vec<u8>)) {
        self.ends.resize(id, self.blob.len());
        append(&mut self.blob);
        self.ends.push(self.blob.len());
    }

    fn at(&self, id: usize) -> &[u8] {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.blob[start..self.ends[id]]
    }
}

/// How tokens become text: the part of a `tokenizer.json` decoder that language models use.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    replace: Vec<(String, String)>,
    spelling: Spelling,
    pub(crate) first: First,
    /// Written between tokens where a tokenizer names no decoder at all.
    pub(crate) joiner: Option<u8>,
}

/// How a vocabulary spells bytes that are not text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    #[default]
    Text,
    /// Every byte is a printable character (GPT-2).
    ByteLevel,
    /// `<0xNN>` is a byte, all else is text (SentencePiece).
    ByteFallback,
}

/// What happens to spaces at the very start of decoded text, where encoding put one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    #[default]
    Keep,
    /// Up to so many leading spaces of the whole text go.
    Strip(usize),
    /// All spaces of the first token go (the `Metaspace` decoder's rule).
    DropInFirstToken,
}

impl Rule {
    /// The rule of GPT-2's alphabet.
    pub(crate) fn byte_level() -> Self {
        Self { spelling: Spelling::ByteLevel, ..Self::default() }
    }

    /// The rule of Llama's SentencePiece vocabulary.
    pub(crate) fn sentencepiece(strip: bool) -> Self {
        Self {
            replace: vec![("\u{2581}".into(), " ".into())],
            spelling: Spelling::ByteFallback,
            first: if strip { First::Strip(1) } else { First::Keep },
            joiner: None,
        }
    }

    /// Reads the rule off a decoder; kinds that no language model here uses are refused by name.
    pub(crate) fn from_decoder(decoder: Option<&DecoderWrapper>) -> Result<Self, TextError> {
        let Some(decoder) = decoder else {
            return Ok(Self { joiner: Some(b' '), ..Self::default() });
        };
        let unsupported = |name: String| TextError::Unsupported { part: "decoder", name };
        let json = serde_json::to_value(decoder).map_err(TextError::tokenizer)?;
        let name = json["type"].as_str().unwrap_or("unknown").to_owned();
        let step: Step = serde_json::from_value(json).map_err(|_| unsupported(name))?;
        let mut reader = RuleReader { rule: Self::default(), fused: false };
        reader.read(step).map_err(|name| unsupported(name.into()))?;
        Ok(reader.rule)
    }

    /// True where invalid UTF-8 becomes one U+FFFD per byte (SentencePiece) rather than per broken character.
    pub(crate) fn marks_each_byte(&self) -> bool {
        self.spelling == Spelling::ByteFallback
    }

    /// Appends the bytes that a vocabulary's word stands for: its own where it spells none.
    fn spell(&self, text: &str, out: &mut Vec<u8>) {
        let mut text = Cow::Borrowed(text);
        for (from, to) in &self.replace {
            if text.contains(from) {
                text = text.replace(from, to).into();
            }
        }
        let start = out.len();
        let spelled = match self.spelling {
            Spelling::Text => None,
            Spelling::ByteLevel => {
                text.chars().try_for_each(|character| alphabet::byte(character).map(|byte| out.push(byte)))
            }
            Spelling::ByteFallback => alphabet::fallback_byte(&text).map(|byte| out.push(byte)),
        };
        if spelled.is_none() {
            out.truncate(start);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// A decoder as `tokenizer.json` writes it.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Step {
    Sequence { decoders: Vec<Step> },
    ByteLevel {},
    ByteFallback {},
    Fuse {},
    Strip { content: char, start: usize, stop: usize },
    Replace { pattern: Pattern, content: String },
    Metaspace { replacement: String, prepend_scheme: String },
}

/// What a `Replace` looks for: only plain text is supported, not a regular expression.
#[derive(Deserialize)]
struct Pattern {
    #[serde(rename = "String")]
    text: Option<String>,
}

struct RuleReader {
    rule: Rule,
    fused: bool,
}

impl RuleReader {
    fn read(&mut self, step: Step) -> Result<(), &'static str> {
        match step {
            Step::Sequence { decoders } => return decoders.into_iter().try_for_each(|step| self.read(step)),
            Step::ByteLevel {} if !self.fused => self.rule.spelling = Spelling::ByteLevel,
            Step::ByteFallback {} if !self.fused => self.rule.spelling = Spelling::ByteFallback,
            Step::Fuse {} => self.fused = true,
            Step::Strip { content: ' ', start, stop: 0 } if self.fused => {
                self.rule.first = First::Strip(start)
            }
            Step::Replace { pattern: Pattern { text: Some(from) }, content } if !self.fused => {
                self.rule.replace.push((from, content));
            }
            Step::Metaspace { replacement, prepend_scheme } if !self.fused => {
                self.rule.replace.push((replacement, " ".into()));
                if prepend_scheme != "never" {
                    self.rule.first = First::DropInFirstToken;
                }
            }
            Step::Replace { pattern: Pattern { text: None }, .. } => {
                return Err("Replace with a regular expression");
            }
            Step::Strip { .. } => return Err("Strip of anything but leading spaces"),
            _ => return Err("Sequence in an unusual order"),
        }
        Ok(())
    }
}

//! `mask`: which tokens of a vocabulary may come next in an answer of a form, and taking one. The words are made up, as
//! many as Llama 3 has, or those of a real `tokenizer.json`.
//!
//! Each figure is one token's: its mask, and telling the grammar that it came. `cold` follows each answer with a matcher
//! that has learned nothing yet, as a request does, and counts its making; `warm` follows the same answer again and again.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::sync::Arc;

use criterion::BenchmarkId;
use polysilicon::Error;
use text::{Grammar, GrammarLimits, GrammarSource, Lexicon, TextError, Tokenizer, Vocabulary};

use crate::steps::Bench;

const VOCAB: usize = 128_256;
/// Ends an answer; behind the bytes.
const END: u32 = 256;

/// Made-up words are made of these.
const SOUNDS: [&str; 32] = [
    "a", "e", "i", "o", "u", "th", "er", "in", "on", "an", "re", "at", "st", "en", "ing", "ed", "to", "or",
    "ar", "is", "al", "le", "ti", "es", "ra", "ne", "ly", "m", "p", "k", "s", "d",
];
/// What else text and JSON are written with.
const MARKS: [&str; 24] = [
    "{\"", "\":", "\",", "\", \"", "\"}", "\"]", "[\"", "{}", "[]", "},", "],", "\\n", ", ", ": ", ".",
    "...", "\n\n", "    ", "true", "false", "null", "==", "->", "://",
];

/// Grammars, and the beginning of an answer to each.
fn cases() -> [(&'static str, GrammarSource, String); 5] {
    let person = r#"{"type": "object", "additionalProperties": false, "required": ["name", "age", "tags", "city"],
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}}, "city": {"enum": ["Rome", "Oslo", "Paris"]}}}"#;
    let sums =
        "start: sum\nsum: term ((\"+\" | \"-\") term)*\nterm: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]+/\n";
    let choices = (0..100).map(|i| format!("the answer is number {i}")).collect();
    let answer = r#"{"name": "Anna then Maria", "age": 41, "tags": ["red", "blue and green"], "city": "Os"#;
    [
        ("object", GrammarSource::JsonSchema(person.to_owned()), answer.to_owned()),
        (
            "string",
            GrammarSource::JsonSchema("{\"type\": \"string\"}".to_owned()),
            format!("\"{}", "the rain is on ".repeat(8)),
        ),
        (
            "regex",
            GrammarSource::Regex("[0-9]{4}-[0-9]{2}-[0-9]{2}( [a-z]+)*".to_owned()),
            "2026-11-28 in the rain".to_owned(),
        ),
        ("lark", GrammarSource::Lark(sums.to_owned()), "12+(3-(45+6))-(7-(8+9))".to_owned()),
        ("choice", GrammarSource::Choice(choices), "the answer is number 4".to_owned()),
    ]
}

/// An answer's tokens, and the grammar that it follows.
struct Walk {
    grammar: Grammar,
    ids: Vec<u32>,
}

/// Benches each grammar, and making one ready.
pub fn bench(bench: &mut Bench<'_>) {
    let tokenizer = LazyCell::new(|| Arc::new(tokenizer().unwrap_or_else(|error| panic!("{error}"))));
    let lexicon = LazyCell::new(|| {
        let ends = tokenizer.eos().into_iter().collect::<Vec<_>>();
        Lexicon::new(tokenizer.clone(), tokenizer.vocab_size(), &ends).expect("grammars take the vocabulary")
    });
    let compile = |source: &GrammarSource| {
        lexicon.compile(source, &GrammarLimits::default()).expect("the grammar is a grammar")
    };
    let mut group = bench.criterion.benchmark_group("mask");
    for (name, source, answer) in cases() {
        let walk = LazyCell::new(|| Walk::new(compile(&source), &tokenizer, &answer));
        group.bench_function(BenchmarkId::new(name, "compile"), |bencher| bencher.iter(|| compile(&source)));
        group.bench_function(BenchmarkId::new(name, "cold"), |bencher| walk.time(bencher, true));
        group.bench_function(BenchmarkId::new(name, "warm"), |bencher| walk.time(bencher, false));
    }
    group.finish();
}

impl Walk {
    /// Cuts an answer into the longest tokens that the grammar allows.
    fn new(grammar: Grammar, tokenizer: &Tokenizer, answer: &str) -> Walk {
        let (mut matcher, mut mask) = (grammar.matcher(), vec![0; grammar.mask_len()]);
        let (mut ids, mut rest) = (vec![], answer.as_bytes());
        while !rest.is_empty() {
            matcher.mask(&mut mask).expect("the answer is of its form");
            let allowed =
                (0..tokenizer.vocab_size() as u32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1);
            let fits = allowed.filter_map(|id| {
                Some((tokenizer.bytes(id).filter(|word| rest.starts_with(word))?.len(), id))
            });
            let (length, id) = fits.max().expect("the vocabulary spells everything");
            matcher.accept(id).expect("the mask allows it");
            ids.push(id);
            rest = &rest[length..];
        }
        Walk { grammar, ids }
    }

    fn time(&self, bencher: &mut criterion::Bencher<'_>, cold: bool) {
        let (mut matcher, mut mask) = (self.grammar.matcher(), vec![0; self.grammar.mask_len()]);
        let mut at = 0;
        bencher.iter(|| {
            if at == self.ids.len() {
                at = 0;
                match cold {
                    true => matcher = self.grammar.matcher(),
                    false => matcher.rewind(self.ids.len()).expect("all of them were taken"),
                }
            }
            matcher.mask(&mut mask).expect("the answer is of its form");
            matcher.accept(self.ids[at]).expect("the mask allows it");
            at += 1;
            mask[0]
        });
    }
}

/// The tokenizer of a file, where one is named.
fn tokenizer() -> Result<Tokenizer, Error> {
    let Ok(path) = std::env::var("POLYSILICON_BENCH_TOKENIZER") else { return Ok(made_up()?) };
    let fail = |error| Error::File { path: path.clone().into(), error };
    Ok(Tokenizer::from_json(&std::fs::read(&path).map_err(fail)?)?)
}

/// Bytes, an end, numbers, marks, and words with and without a space before them.
fn made_up() -> Result<Tokenizer, TextError> {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let mut tokens = bytes.chain(["</s>".to_owned()]).collect::<Vec<_>>();
    let numbers = (0..1000).map(|number| number.to_string());
    let marks = MARKS.iter().map(|mark| mark.replace(' ', "▁"));
    let mut seen = HashSet::new();
    for word in numbers.chain(marks).chain((0..).map(word)).filter(|word| seen.insert(word.clone())) {
        tokens.push(word);
        if tokens.len() == VOCAB {
            break;
        }
    }
    let kind = |id| if id < END { 6 } else { 1 + 2 * i32::from(id == END) };
    Tokenizer::from_vocabulary(Vocabulary {
        model: "llama".to_owned(),
        scores: Some((0..VOCAB).map(|id| -(id as f32)).collect()),
        types: Some((0..VOCAB as u32).map(kind).collect()),
        eos: Some(END),
        add_space_prefix: Some(false),
        tokens,
        ..Vocabulary::default()
    })
}

/// One to five sounds, a space before three words of four.
fn word(n: u32) -> String {
    let dice = crate::sampler::hash(n);
    let sounds = 1 + dice as usize % 5;
    let sound = |i: usize| SOUNDS[(crate::sampler::hash(n ^ (i as u32) << 27) % 32) as usize];
    let space = if dice >> 8 & 3 < 3 { "▁" } else { "" };
    (0..sounds).map(sound).fold(space.to_owned(), |word, sound| word + sound)
}

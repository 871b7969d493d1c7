//! Byte-level BPE (GPT-2's kind): text is cut into words by a regular expression, each word is spelled in an alphabet
//! of 256 characters, and neighbours are joined by a list of merges.

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::guarded;
use super::pieces::Rule;
use super::vocabulary::{Built, Vocabulary};
use crate::TextError;

/// Builds from a vocabulary, whose merges are used up: there are hundreds of thousands, too many to copy.
pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, TextError> {
    let name = vocabulary.pre.as_deref().unwrap_or("gpt-2");
    let words = Words::named(name)
        .ok_or_else(|| TextError::Unsupported { part: "tokenizer.ggml.pre", name: name.into() })?;
    let merges = vocabulary.merges.take();
    let merges = merges.ok_or_else(|| TextError::tokenizer("tokenizer.ggml.merges is missing"))?;
    let ids = vocabulary.ids();
    let known = |text: &str| ids.get(text).is_some_and(|&id| vocabulary.is_text(id));
    let mut joined = String::new();
    let merges = merges.into_iter().filter_map(|mut left| {
        // The second token may hold a space only in a damaged file: the alphabet has none.
        let right = left.split_off(left.find(' ')? + 1);
        left.pop();
        joined.clear();
        joined.extend([&*left, &*right]);
        (known(&left) && known(&right) && known(&joined)).then_some((left, right))
    });
    let merges = merges.collect();
    let builder = BPE::builder().vocab_and_merges(ids, merges).ignore_merges(words.whole_words);
    Ok(Built {
        model: guarded(|| builder.build()).map_err(TextError::tokenizer)?,
        normalizer: words.composes.then(|| NFC.into()),
        pre_tokenizer: words.pre_tokenizer()?,
        rule: Rule::byte_level(),
        add_bos: words.add_bos,
    })
}

/// How a family of tokenizers cuts text into words, under the names of `tokenizer.ggml.pre`.
struct Words {
    pattern: &'static str,
    /// Each digit is a word, before the pattern is applied.
    single_digits: bool,
    /// A word that is a token is taken whole, whatever the merges would make of it.
    whole_words: bool,
    /// Text is composed (NFC) first.
    composes: bool,
    add_bos: bool,
}

const GPT2: Words = Words {
    pattern: r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    single_digits: false,
    whole_words: false,
    composes: false,
    add_bos: false,
};

const LLAMA3: Words = Words {
    pattern: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    whole_words: true,
    add_bos: true,
    ..GPT2
};

const QWEN2: Words = Words {
    pattern: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    composes: true,
    ..GPT2
};

const GPT4O: Words = Words {
    pattern: concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    ..GPT2
};

const TEKKEN: Words = Words {
    pattern: concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    whole_words: true,
    add_bos: true,
    ..GPT2
};

impl Words {
    /// Names are llama.cpp's. An unknown one is an error: a wrong cut gives wrong tokens without a sign of it.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "default" | "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" | "jais" | "roberta-bpe" | "trillion" => {
                GPT2
            }
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
            | "lfm2" => LLAMA3,
            "dbrx" | "smaug-bpe" => Self { whole_words: false, add_bos: false, ..LLAMA3 },
            "qwen2" | "deepseek-r1-qwen" | "megrez" | "hunyuan" => QWEN2,
            "stablelm2" => Self { composes: false, ..QWEN2 },
            "gpt-4o" | "llama4" => GPT4O,
            "tekken" => TEKKEN,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
                Self { single_digits: true, ..GPT2 }
            }
            _ => return None,
        })
    }

    fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper, TextError> {
        let pattern = SplitPattern::Regex(self.pattern.into());
        let split = guarded(|| Split::new(pattern, SplitDelimiterBehavior::Isolated, false));
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        if self.single_digits {
            steps.push(Digits::new(true).into());
        }
        steps.push(split.map_err(TextError::tokenizer)?.into());
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(steps).into())
    }
}

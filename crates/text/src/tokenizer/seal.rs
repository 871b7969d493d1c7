//! Sealing: making sure that no control token is found in a user's text after a template has placed it.
//!
//! The mark is a noncharacter, so it changes nothing that templates do with text (trim, split, compare the ends), and
//! it is invisible to them where there is nothing to protect from, which is nearly always.

/// U+FDD0, a code point that is guaranteed never to be a character.
pub(crate) const SEAL: char = '\u{FDD0}';

/// What to look for, from the texts of the control tokens.
#[derive(Debug)]
pub(crate) struct Seals {
    /// All control texts, sorted.
    texts: Vec<String>,
    /// The texts of which no other is a beginning, sorted: breaking these breaks all.
    starts: Vec<String>,
    /// The proper endings of control texts, likewise without those that begin with another.
    endings: Vec<String>,
}

impl Seals {
    pub(crate) fn new(mut texts: Vec<String>) -> Self {
        texts.sort();
        let endings =
            texts.iter().flat_map(|text| text.char_indices().skip(1).map(|(at, _)| text[at..].to_owned()));
        let endings = shortest(endings.collect());
        Self { starts: shortest(texts.clone()), endings, texts }
    }

    /// The text with every control text broken after its first character, and also what would be one if the text
    /// before or after it held the rest.
    pub(crate) fn seal(&self, text: &str) -> String {
        let text: String = text.chars().filter(|&character| character != SEAL).collect();
        let mut sealed = String::with_capacity(text.len() + 8);
        let lead = text.len() - text.trim_start().len();
        let last = text.trim_end().len();
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        for (at, character) in text.char_indices() {
            // Templates trim, so the ends that matter are those with and without the white space.
            let opens = (at == 0 || at == lead) && begins_with_any(&text[at..], &self.endings);
            if opens {
                sealed.push(SEAL);
            }
            sealed.push(character);
            let rest = &text[at..];
            let runs_out = rest.len() < longest + text.len() - last
                && [rest, &text[at.min(last)..last]].iter().any(|end| self.is_beginning(end));
            if runs_out || begins_with_any(rest, &self.starts) {
                sealed.push(SEAL);
            }
        }
        sealed
    }

    /// Whether some control text begins with `part` (and goes on).
    fn is_beginning(&self, part: &str) -> bool {
        let at = self.texts.partition_point(|text| text.as_str() < part);
        !part.is_empty() && self.texts.get(at).is_some_and(|text| text.starts_with(part))
    }
}

/// Sorted, and without the texts that begin with another of them.
fn shortest(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if kept.last().is_none_or(|last| !text.starts_with(last.as_str())) {
            kept.push(text);
        }
    }
    kept
}

/// `prefixes` must come from [`shortest`]: then the only candidate is the last one not after `text`, because whatever
/// lies between a text and a beginning of it has that beginning too.
fn begins_with_any(text: &str, prefixes: &[String]) -> bool {
    let after = prefixes.partition_point(|prefix| prefix.as_str() <= text);
    after > 0 && text.starts_with(prefixes[after - 1].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seals() -> Seals {
        Seals::new(["<|im_start|>", "<|im_end|>", "<s>", "</s>", "<s>x"].map(str::to_owned).to_vec())
    }

    #[test]
    fn ordinary_text_is_left_as_it_is() {
        for text in ["", "hello", "a < b", "if x | y", "<tool_call>{}</tool_call>", "  spaced "] {
            assert_eq!(seals().seal(text), text);
        }
    }

    #[test]
    fn control_texts_and_their_parts_at_the_ends_are_broken() {
        let shown = |text: &str| seals().seal(text).replace(SEAL, "~");
        assert_eq!(shown("a<|im_start|>b"), "a<~|im_start|>b");
        assert_eq!(shown("<<s>x<s>"), "<<~s>x<~s>");
        assert_eq!(shown("tail <|im_"), "tail <~|im_");
        assert_eq!(shown("tail <|im_ \n"), "tail <~|im_ \n");
        assert_eq!(shown(" art|> b"), " ~art|> b");
        assert_eq!(shown("<\u{FDD0}s>"), "<~s>");
    }
}

//! A Rust file as the rules see it: code, comments, functions, and which lines are tests.

use crate::scan::{Layers, is_word, split};

/// The scanned text of one `.rs` file.
pub struct Source {
    /// Code without comments and literals, line for line.
    pub code: String,
    /// Comments, line for line.
    pub comments: String,
    tests: Vec<bool>,
}

/// A function that has a body.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl Source {
    /// Scans a text.
    pub fn new(text: &str) -> Source {
        let Layers { code, comments } = split(text);
        let tests = test_lines(&code);
        Source { code, comments, tests }
    }

    /// Declares every line a test: the file is only compiled for tests.
    pub fn all_tests(&mut self) {
        self.tests.fill(true);
    }

    /// The lines of code that are not tests, with their numbers from 1.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().filter(|(at, _)| !self.tests[*at]).map(|(at, line)| (at + 1, line))
    }

    /// Whether a line, counted from 1, is compiled only for tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.get(line - 1).copied().unwrap_or(false)
    }

    /// Every function with a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        words(&self.code, "fn").filter_map(|at| self.function_at(at)).collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let signature = self.code[at + 2..].trim_start();
        let name: String = signature.chars().take_while(|&c| is_word(c)).collect();
        // A type like `fn(u8) -> u8` has no name.
        let (_, end) = body(&self.code, at).filter(|_| !name.is_empty())?;
        let lines = self.code[at..end].matches('\n').count() + 1;
        Some(Function { name, line: line_of(&self.code, at), lines })
    }

    /// Names of modules that stand in files of their own and are compiled only for tests: `#[cfg(test)] mod name;`.
    pub fn outlined_tests(&self) -> Vec<String> {
        let names = words(&self.code, "mod").filter(|&at| self.is_test(line_of(&self.code, at)));
        let outlined = names.filter_map(|at| self.code[at + 3..].split_once(';'));
        outlined.map(|(name, _)| name.trim().to_owned()).filter(|name| name.chars().all(is_word)).collect()
    }
}

/// Where a word stands in a text as a whole word.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(|c| is_word(c) || c == '#') && !after.is_some_and(is_word)
    })
}

/// The line of an offset, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// For each line, whether an item under `#[cfg(test)]` covers it.
fn test_lines(code: &str) -> Vec<bool> {
    let mut tests = vec![code.contains("#![cfg(test)]"); code.lines().count()];
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(attribute) {
            let end = body(code, at).map_or_else(|| at + code[at..].find(';').unwrap_or(0), |(_, end)| end);
            tests[line_of(code, at) - 1..line_of(code, end)].fill(true);
        }
    }
    tests
}

/// The braces of the item that begins at an offset: where the first opens, and just behind where it closes. `None`
/// where the item ends with a semicolon.
fn body(code: &str, from: usize) -> Option<(usize, usize)> {
    let (mut open, mut braces, mut others) = (None, 0usize, 0usize);
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' if open.is_none() => others += 1,
            ')' | ']' if open.is_none() => others = others.saturating_sub(1),
            ';' if open.is_none() && others == 0 => return None,
            '{' if open.is_some() || others == 0 => {
                open.get_or_insert(from + at);
                braces += 1;
            }
            '}' if open.is_some() => {
                braces -= 1;
                if braces == 0 {
                    return open.map(|open| (open, from + at + 1));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = Source::new(
            "trait T { fn none(&self) -> [u8; 4]; }\nfn two(f: fn(u8)) {\n}\n  fn one() -> [u8; { 2 }] { [\"}\"; 2]; }\n",
        );
        let found: Vec<_> = source.functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("two".to_owned(), 2, 2), ("one".to_owned(), 4, 1)]);
    }

    #[test]
    fn test_items_are_known() {
        let source = Source::new("fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n");
        assert_eq!(source.product_lines().map(|(line, _)| line).collect::<Vec<_>>(), [1, 6]);
        assert!(source.is_test(4) && !source.is_test(6));
        assert!(Source::new("#![cfg(test)]\nfn f() {}").is_test(2));
    }

    #[test]
    fn outlined_test_modules_are_named() {
        let source = Source::new("mod a;\n#[cfg(test)]\nmod cases;\n#[cfg(test)]\nmod inline { use x; }\n");
        assert_eq!(source.outlined_tests(), ["cases"]);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("word sword words word_ r#word word", "word").collect::<Vec<_>>(), [0, 30]);
    }
}

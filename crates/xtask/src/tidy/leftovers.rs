//! Nothing half done: no placeholder that panics, no debugging print, no note to oneself.

use super::House;
use crate::source::{Source, line_of, words};

/// Macros that belong to work in progress.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
/// A note to oneself, in pieces so that this file does not hold it.
const NOTE: &str = concat!("FIX", "ME");

/// No leftover in code, and no note in any text.
pub fn check(house: &House) -> Vec<String> {
    let macros = house.tree.rust().flat_map(|(file, source)| macros(&file.path, source));
    let notes = house.tree.texts().flat_map(|(file, text)| notes(&file.path, text));
    macros.chain(notes).collect()
}

fn macros(path: &str, source: &Source) -> Vec<String> {
    let code = source.code.as_str();
    let calls = MACROS.iter().flat_map(|name| words(code, name).map(move |at| (*name, at)));
    let calls = calls.filter(|(name, at)| code[at + name.len()..].starts_with('!'));
    calls
        .map(|(name, at)| format!("{path}:{}: `{name}!` is work that is not finished", line_of(code, at)))
        .collect()
}

fn notes(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(NOTE));
    lines.map(|(at, _)| format!("{path}:{}: mend what the note says instead of noting it", at + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_in_code_only() {
        let found = macros("a.rs", &Source::new("// todo!\nlet todo = \"dbg!\";\n    unimplemented!()\n"));
        assert_eq!(found, ["a.rs:3: `unimplemented!` is work that is not finished"]);
    }

    #[test]
    fn notes_are_found_everywhere() {
        assert_eq!(notes("a.py", &format!("ok\n# {NOTE}: later\n")).len(), 1);
        assert!(notes("a.py", "# fixed\n").is_empty());
    }
}

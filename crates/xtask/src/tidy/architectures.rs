//! Only a model's own file knows its name: no backend, engine or tool asks which architecture it is running.

use super::House;
use crate::scan::is_word;
use crate::source::Source;

/// How Hugging Face ends the names of its decoder classes.
const ENDING: &str = "ForCausalLM";

/// Where architectures may be named: their own files, their maps of weight names, and what makes or tests them.
const MAY: &[&str] = &["models/", "crates/weights/src/names", "tests/", "scripts/", "docs/", "fuzz/"];

/// No architecture is named elsewhere, tests aside.
pub fn check(house: &House) -> Vec<String> {
    let elsewhere =
        house.tree.rust().filter(|(file, _)| !MAY.iter().any(|place| file.path.starts_with(place)));
    elsewhere
        .flat_map(|(file, source)| faults(&file.path, file.text.as_deref().unwrap_or_default(), source))
        .collect()
}

fn faults(path: &str, text: &str, source: &Source) -> Vec<String> {
    let lines =
        text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|&(at, _)| !source.is_test(at));
    let named = lines.filter_map(|(at, line)| name(line).map(|name| (at, name)));
    named
        .map(|(at, name)| {
            format!("{path}:{at}: names the architecture `{name}`, which only models/ may know")
        })
        .collect()
}

/// The first architecture on a line: a name before the ending, not the ending alone.
fn name(line: &str) -> Option<&str> {
    line.match_indices(ENDING).find_map(|(at, _)| {
        let start = line[..at].rfind(|c: char| !is_word(c)).map_or(0, |before| before + 1);
        (start < at).then(|| &line[start..at + ENDING.len()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "fn f(name: &str) {\n    if name == \"Qwen3ForCausalLM\" {}\n}\n";

    #[test]
    fn only_models_and_tests_name_architectures() {
        let faults =
            check(&House::of(&[("crates/engine/src/step.rs", NAMED), ("models/src/qwen3.rs", NAMED)]));
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("crates/engine/src/step.rs:2: names the architecture `Qwen3ForCausalLM`")
        );
        let tests = format!("#[cfg(test)]\nmod tests {{\n{NAMED}}}\n");
        assert!(check(&House::of(&[("crates/engine/src/step.rs", &tests)])).is_empty());
    }

    #[test]
    fn the_ending_alone_is_no_name() {
        assert_eq!(name("names end in `ForCausalLM`"), None);
    }
}

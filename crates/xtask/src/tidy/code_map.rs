//! Every crate stands in the code map of ARCHITECTURE.md, so that a reader finds it before meeting it.

use super::House;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// The document has a code map, and the map names every crate.
pub fn check(house: &House) -> Vec<String> {
    let Some(text) = house.tree.text(DOCUMENT) else { return vec![format!("{DOCUMENT} is missing")] };
    let Some(map) = section(text, "code map") else {
        return vec![format!("{DOCUMENT} has no section whose heading says `code map`")];
    };
    let missing = house.crates.iter().filter(|k| !names(map, &k.folder));
    missing.map(|k| format!("{DOCUMENT}: the code map does not name `{}/`", k.folder)).collect()
}

/// The text from the heading that holds a phrase to the next heading of its level or above.
fn section<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let level = |line: &str| line.bytes().take_while(|&b| b == b'#').count();
    let mut offset = 0;
    let mut found: Option<(usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        match (level(line), found) {
            (0, _) => {}
            (depth, Some((start, of))) if depth <= of => return Some(&text[start..offset]),
            (depth, None) if line.to_lowercase().contains(phrase) => found = Some((offset, depth)),
            _ => {}
        }
        offset += line.len();
    }
    found.map(|(start, _)| &text[start..])
}

/// Whether a map names a folder as such: by its path, or by its own name followed by a slash or between backticks.
fn names(map: &str, folder: &str) -> bool {
    let own = folder.rsplit('/').next().unwrap_or(folder);
    let forms = [format!("{own}/"), format!("`{own}`"), format!("`{folder}`")];
    forms.iter().any(|form| {
        map.match_indices(form.as_str()).any(|(at, _)| {
            let before = map[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Crate;

    fn house(text: &str) -> House {
        let graph =
            Crate { name: "graph".to_owned(), folder: "crates/graph".to_owned(), imports: Vec::new() };
        House { crates: vec![graph], ..House::of(&[(DOCUMENT, text)]) }
    }

    #[test]
    fn the_map_must_name_the_crate_as_a_folder() {
        assert!(check(&house("# The code map\n- `crates/graph`: ops\n")).is_empty());
        assert!(check(&house("# The code map\n  graph/   ops\n## More\n")).is_empty());
        assert!(
            check(&house("# The code map\nthe graph of a step; subgraph/\n"))[0].contains("`crates/graph/`")
        );
    }

    #[test]
    fn only_the_section_counts() {
        assert_eq!(check(&house("# Intro\ngraph/\n# Code map\nnothing\n")).len(), 1);
        assert_eq!(check(&house("# Code map\nnothing\n# Later\ngraph/\n")).len(), 1);
        assert!(check(&house("# Intro\n"))[0].contains("no section"));
        assert_eq!(check(&House::of(&[])), ["ARCHITECTURE.md is missing"]);
    }
}

//! CHANGELOG.md always has a place for what the next release brings.

use super::House;

const DOCUMENT: &str = "CHANGELOG.md";

/// The changelog exists and has an Unreleased section.
pub fn check(house: &House) -> Vec<String> {
    let text = house.tree.text(DOCUMENT).unwrap_or_default();
    let found = text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased"));
    if found { Vec::new() } else { vec![format!("{DOCUMENT} has no section `## [Unreleased]`")] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_must_be_there() {
        assert!(check(&House::of(&[(DOCUMENT, "# Changelog\n\n## [Unreleased]\n")])).is_empty());
        assert_eq!(check(&House::of(&[(DOCUMENT, "# Changelog\n\n## [0.1.0]\nUnreleased\n")])).len(), 1);
        assert_eq!(check(&House::of(&[])).len(), 1);
    }
}

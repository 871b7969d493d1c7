//! Every script says in scripts/README.md what it is for.

use super::House;

const FOLDER: &str = "scripts/";
const DOCUMENT: &str = "scripts/README.md";

/// The document names every Python and shell script by its path below the folder.
pub fn check(house: &House) -> Vec<String> {
    let text = house.tree.text(DOCUMENT).unwrap_or_default();
    let inside = house.tree.files.iter().filter_map(|file| file.path.strip_prefix(FOLDER));
    let scripts = inside.filter(|path| path.ends_with(".py") || path.ends_with(".sh"));
    let missing = scripts.filter(|path| !text.contains(&format!("`{path}`")));
    missing.map(|path| format!("{DOCUMENT} does not say what `{path}` is")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_named_by_its_path() {
        let house = |text| House::of(&[(DOCUMENT, text), ("scripts/a/b.py", ""), ("scripts/a/loss.csv", "")]);
        assert!(check(&house("| `a/b.py` | trains |")).is_empty());
        assert_eq!(check(&house("| `b.py` | trains |")), ["scripts/README.md does not say what `a/b.py` is"]);
    }
}

//! Every crate from outside is declared once in the workspace, used, and argued for in docs/dependencies.md.

use std::collections::BTreeSet;

use super::House;

const DOCUMENT: &str = "docs/dependencies.md";
const MANIFEST: &str = "Cargo.toml";
/// The heading under which the document lists what no user's program contains.
const TESTS_ONLY: &str = "only in tests";

/// Declared, used and argued for are one and the same set; so are "only tests use it" and its place in the document.
pub fn check(house: &House) -> Vec<String> {
    let declared = declared(house.tree.text(MANIFEST).unwrap_or_default());
    let used = used(house);
    let shipped = used_by_the_product(house);
    let rows = rows(house.tree.text(DOCUMENT).unwrap_or_default());
    let argued: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let mut faults = Vec::new();
    let mut each =
        |names: Vec<&String>, what: &str| faults.extend(names.iter().map(|name| format!("`{name}` {what}")));
    each(
        declared.difference(&argued).collect(),
        "is a dependency of the workspace without a row in docs/dependencies.md",
    );
    each(
        argued.difference(&declared).collect(),
        "has a row in docs/dependencies.md but is no dependency of the workspace",
    );
    each(declared.difference(&used).collect(), "is declared for the workspace, but no crate uses it");
    each(
        used.difference(&declared).collect(),
        "is used by a crate but not declared in [workspace.dependencies]",
    );
    for (name, tests_only) in rows.iter().filter(|(name, _)| used.contains(name)) {
        match (tests_only, shipped.contains(name)) {
            (true, true) => faults.push(format!("{DOCUMENT}: `{name}` is not only in tests")),
            (false, false) => {
                faults.push(format!("{DOCUMENT}: `{name}` is only in tests and belongs under that heading"))
            }
            _ => {}
        }
    }
    faults
}

/// The names in `[workspace.dependencies]` that come from outside: those without a path.
fn declared(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    let entries = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    let outside =
        entries.filter(|(name, value)| !name.trim_start().starts_with('#') && !value.contains("path ="));
    outside.map(|(name, _)| name.trim().to_owned()).collect()
}

fn used(house: &House) -> BTreeSet<String> {
    house.crates.iter().flat_map(|k| &k.imports).filter(|i| !i.ours).map(|i| i.name.clone()).collect()
}

/// What a crate other than the test crate imports for more than its tests.
fn used_by_the_product(house: &House) -> BTreeSet<String> {
    let crates = house.crates.iter().filter(|k| k.name != "tests");
    crates.flat_map(|k| &k.imports).filter(|i| !i.ours && !i.dev).map(|i| i.name.clone()).collect()
}

/// The crates named in the first cell of the document's table rows, each with whether it stands under the heading of
/// what is only in tests.
fn rows(document: &str) -> Vec<(String, bool)> {
    let mut tests_only = false;
    let mut rows = Vec::new();
    for line in document.lines() {
        if line.starts_with('#') {
            tests_only = line.to_lowercase().contains(TESTS_ONLY);
        }
        let cell = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
        rows.extend(cell.map(|(name, _)| (name.to_owned(), tests_only)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Crate, Import};

    const CARGO: &str = "[workspace.dependencies]\n# why\ntensor = { path = \"crates/tensor\" }\nhalf = \"2\"\n\
        insta = { version = \"1\" }\n[profile.release]\ndebug = 1\n";
    const ROWS: &str = "# In the program\n| crate | why |\n|---|---|\n| `half` | floats |\n# Only in tests\n| `insta` | text |\n";

    fn house(manifest: &str, document: &str, imports: &[(&str, bool)]) -> House {
        let imports =
            imports.iter().map(|&(name, dev)| Import { name: name.to_owned(), ours: false, dev }).collect();
        let graph = Crate { name: "graph".to_owned(), folder: "crates/graph".to_owned(), imports };
        House { crates: vec![graph], ..House::of(&[(MANIFEST, manifest), (DOCUMENT, document)]) }
    }

    #[test]
    fn three_lists_that_agree_pass() {
        assert!(check(&house(CARGO, ROWS, &[("half", false), ("insta", true)])).is_empty());
    }

    #[test]
    fn each_way_to_disagree_is_named() {
        let both = [("half", false), ("insta", true)];
        assert!(
            check(&house(CARGO, "| `half` | floats |\n", &both))[0]
                .contains("`insta` is a dependency of the workspace")
        );
        assert!(
            check(&house(CARGO, &format!("{ROWS}| `rand` | luck |\n"), &both))[0]
                .contains("`rand` has a row")
        );
        assert!(check(&house(CARGO, ROWS, &both[..1]))[0].contains("no crate uses it"));
        let more = [both[0], both[1], ("rand", false)];
        assert!(check(&house(CARGO, ROWS, &more))[0].contains("`rand` is used by a crate but not declared"));
    }

    #[test]
    fn the_two_tables_are_told_apart() {
        assert!(
            check(&house(CARGO, ROWS, &[("half", false), ("insta", false)]))[0]
                .contains("`insta` is not only in tests")
        );
        assert!(
            check(&house(CARGO, ROWS, &[("half", true), ("insta", true)]))[0]
                .contains("`half` is only in tests")
        );
    }
}

//! The table of limits in SECURITY.md says what the code says.
//!
//! A row ends in the constant that holds the limit, as the code writes it, linked to its file:
//! ``[`TENSORS = 1 << 20`](crates/weights/src/limits.rs)``. So a constant cannot change without its row.

use super::House;
use crate::tree::Tree;

const DOCUMENT: &str = "SECURITY.md";
/// Files of this name hold limits and nothing else: each of their public constants has a row.
const LIMITS: &str = "/limits.rs";

/// Every row agrees with its constant, and every constant in a file of limits has a row.
pub fn check(house: &House) -> Vec<String> {
    let text = house.tree.text(DOCUMENT).unwrap_or_default();
    let rows: Vec<Row> = text.lines().filter_map(Row::of_line).collect();
    if rows.is_empty() {
        return vec![format!("{DOCUMENT} has no table of limits")];
    }
    let wrong = rows
        .iter()
        .filter(|row| !row.holds(&house.tree))
        .map(|row| format!("{DOCUMENT}: `{} = {}` is not what {} says", row.name, row.value, row.path));
    wrong.chain(missing(&house.tree, &rows)).collect()
}

#[derive(Debug, PartialEq)]
struct Row<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
}

impl<'a> Row<'a> {
    fn of_line(line: &'a str) -> Option<Row<'a>> {
        let cell = line.strip_prefix('|')?.split("[`").nth(1)?;
        let (constant, rest) = cell.split_once("`](")?;
        let (name, value) = constant.split_once(" = ")?;
        Some(Row { name, value, path: rest.split(')').next()? })
    }

    fn holds(&self, tree: &Tree) -> bool {
        let code = tree.text(self.path).unwrap_or_default();
        let mut constants = code.lines().filter_map(constant);
        constants.any(|(name, value)| (name, value) == (self.name, self.value))
    }
}

fn missing(tree: &Tree, rows: &[Row]) -> Vec<String> {
    let files = tree.texts().filter(|(file, _)| file.path.ends_with(LIMITS));
    let all = files
        .flat_map(|(file, text)| text.lines().map(move |line| (&*file.path, line)))
        .filter(|(_, line)| line.starts_with("pub const "))
        .filter_map(|(path, line)| constant(line).map(|(name, _)| (path, name)));
    let unlisted = all.filter(|(path, name)| !rows.iter().any(|row| (row.path, row.name) == (path, name)));
    unlisted.map(|(path, name)| format!("{DOCUMENT}: the table of limits lacks `{name}` of {path}")).collect()
}

/// The name and the value of a constant declared on one line.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.trim_end().strip_suffix(';')?.split_once("const ")?;
    let (name, rest) = rest.split_once(':')?;
    rest.split_once(" = ").map(|(_, value)| (name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "/// Why.\npub const TENSORS: u64 = 1 << 20;\n";

    fn faults(table: &str, code: &str) -> Vec<String> {
        check(&House::of(&[(DOCUMENT, table), ("a/src/limits.rs", code)]))
    }

    #[test]
    fn a_row_is_the_constant_as_written() {
        let row = "| tensors | a million | [`TENSORS = 1 << 20`](a/src/limits.rs) |";
        assert!(faults(row, CODE).is_empty());
        assert!(
            faults(row, "pub const TENSORS: u64 = 1 << 21;")[0].contains("is not what a/src/limits.rs says")
        );
        assert!(faults(row, "pub const SHARDS: u64 = 1 << 20;").len() == 2);
    }

    #[test]
    fn every_limit_has_a_row() {
        let row = "| shards | 9 | [`SHARDS = 9`](a/src/limits.rs) |";
        let code = CODE.to_owned() + "pub const SHARDS: usize = 9;\n";
        assert_eq!(
            faults(row, &code),
            ["SECURITY.md: the table of limits lacks `TENSORS` of a/src/limits.rs"]
        );
        assert_eq!(faults("no table", CODE), ["SECURITY.md has no table of limits"]);
    }
}

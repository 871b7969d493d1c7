//! The floors of the house: which crate may import which, as data. An arrow goes down only.

use super::House;
use crate::workspace::{Crate, Import};

/// One row of the table.
struct Row {
    name: &'static str,
    place: Place,
    /// The crates it may import besides its tests.
    may: &'static [&'static str],
}

/// Where a crate stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Floor(u8),
    /// Outside the house: what only developers and tests run. Nothing in the house imports it but for its tests.
    Beside,
}

use Place::{Beside, Floor};

const fn row(place: Place, name: &'static str, may: &'static [&'static str]) -> Row {
    Row { name, place, may }
}

const TABLE: &[Row] = &[
    row(Floor(6), "cli", &["polysilicon", "server"]),
    row(Floor(5), "server", &["polysilicon"]),
    row(Floor(5), "python", &["polysilicon"]),
    row(Floor(4), "polysilicon", BELOW_THE_FACADE),
    row(Floor(3), "engine", &["graph"]),
    row(Floor(3), "models", &["graph", "weights", "tensor"]),
    row(Floor(3), "cost", &["graph", "tensor"]),
    row(Floor(3), "reference", &["graph", "tensor"]),
    row(Floor(3), "candle", &["graph", "tensor"]),
    row(Floor(3), "cpu", &["graph", "tensor", "simd"]),
    row(Floor(3), "cuda", &["graph", "tensor", "kernels"]),
    row(Floor(3), "neuron", &["graph", "tensor", "hlo", "neuronx", "nrt", "kernels"]),
    row(Floor(2), "graph", &["tensor"]),
    row(Floor(2), "weights", &["tensor"]),
    row(Floor(2), "neuronx", &["tensor"]),
    row(Floor(1), "tensor", &[]),
    row(Floor(1), "simd", &[]),
    row(Floor(1), "text", &[]),
    row(Floor(1), "nrt", &[]),
    row(Floor(1), "hlo", &[]),
    row(Floor(1), "kernels", &[]),
    row(Beside, "nrt-emulator", &["hlo", "tensor"]),
    row(Beside, "cuda-host", &["cuda"]),
    row(Beside, "xtask", &[]),
    row(Beside, "tests", ANYTHING),
    row(Beside, "benches", ANYTHING),
];

/// The facade names concrete backends and wires everything together.
const BELOW_THE_FACADE: &[&str] = &[
    "engine",
    "models",
    "cost",
    "reference",
    "candle",
    "cpu",
    "cuda",
    "neuron",
    "graph",
    "weights",
    "tensor",
    "text",
];

const ANYTHING: &[&str] = &["*"];

/// Holds every import of every crate against the table.
pub fn check(house: &House) -> Vec<String> {
    let ours =
        |k: &Crate| k.imports.iter().filter(|i| i.ours).filter_map(|i| fault(&k.name, i)).collect::<Vec<_>>();
    house
        .crates
        .iter()
        .flat_map(|k| if find(&k.name).is_some() { ours(k) } else { vec![unknown(&k.name)] })
        .collect()
}

fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

fn unknown(name: &str) -> String {
    format!(
        "the crate `{name}` has no row in the table of floors; add one to crates/xtask/src/tidy/floors.rs"
    )
}

fn fault(from: &str, import: &Import) -> Option<String> {
    let from = find(from)?;
    let Some(to) = find(&import.name) else { return Some(unknown(&import.name)) };
    let down = match (from.place, to.place) {
        (Floor(from), Floor(to)) => to < from,
        (Beside, _) => true,
        (Floor(_), Beside) => import.dev,
    };
    let allowed = import.dev || from.may == ANYTHING || from.may.contains(&to.name);
    if down && allowed {
        return None;
    }
    let rule = match () {
        () if !down && to.place == Beside => "only tests import what stands beside the house",
        () if !down && to.place == from.place => "siblings on one floor never import each other",
        () if !down => "an arrow goes down only",
        () => "its row in the table of floors does not list it",
    };
    Some(format!("{} imports {}, but {rule}", named(from), named(to)))
}

fn named(row: &Row) -> String {
    match row.place {
        Floor(floor) => format!("`{}` (floor {floor})", row.name),
        Beside => format!("`{}` (beside the house)", row.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str, dev: bool) -> Import {
        Import { name: name.to_owned(), ours: true, dev }
    }

    fn sentence(from: &str, to: &str, dev: bool) -> String {
        fault(from, &import(to, dev)).unwrap_or_default()
    }

    #[test]
    fn the_table_itself_only_goes_down() {
        for row in TABLE.iter().filter(|row| row.may != ANYTHING) {
            for to in row.may {
                assert_eq!(sentence(row.name, to, false), "", "{} -> {to}", row.name);
            }
        }
    }

    #[test]
    fn arrows_up_and_sideways_are_refused() {
        assert_eq!(
            sentence("tensor", "graph", false),
            "`tensor` (floor 1) imports `graph` (floor 2), but an arrow goes down only"
        );
        assert!(sentence("engine", "models", false).contains("siblings"));
        assert!(sentence("tensor", "text", true).contains("siblings"));
        assert!(sentence("graph", "tests", false).contains("only tests"));
    }

    #[test]
    fn a_floor_below_is_not_enough() {
        assert!(sentence("models", "text", false).contains("does not list it"));
        assert!(sentence("xtask", "tensor", false).contains("does not list it"));
    }

    #[test]
    fn tests_may_look_down_and_beside() {
        assert_eq!(sentence("models", "text", true), "");
        assert_eq!(sentence("graph", "tests", true), "");
        assert_eq!(sentence("tests", "cli", false), "");
    }

    #[test]
    fn a_crate_without_a_row_is_a_fault() {
        let stranger =
            Crate { name: "attic".to_owned(), folder: "crates/attic".to_owned(), imports: Vec::new() };
        let faults = check(&House { crates: vec![stranger], ..House::of(&[]) });
        assert!(faults[0].contains("`attic` has no row"));
        assert!(sentence("cli", "attic", false).contains("`attic` has no row"));
    }
}

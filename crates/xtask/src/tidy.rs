//! `cargo xtask tidy`: the rules that a compiler does not hold, over every file that git tracks or would track.
//!
//! A rule is a function from the house to sentences; each sentence is one fault and names its place. All rules run,
//! so one look shows all there is to mend.

mod architectures;
mod bounds;
mod changelog;
mod code_map;
mod dependencies;
mod floors;
mod leftovers;
mod links;
mod places;
mod report;
mod scripts;
mod sizes;
mod unsafety;
mod unwraps;

use std::path::Path;

use crate::tree::Tree;
use crate::workspace::{self, Crate};

/// What the rules look at.
pub struct House {
    /// Every file.
    pub tree: Tree,
    /// Every crate of the workspace.
    pub crates: Vec<Crate>,
}

type Rule = fn(&House) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("floors", floors::check),
    ("unsafe", unsafety::check),
    ("sizes", sizes::check),
    ("unwraps", unwraps::check),
    ("code map", code_map::check),
    ("dependencies", dependencies::check),
    ("changelog", changelog::check),
    ("bounds", bounds::check),
    ("scripts", scripts::check),
    ("places", places::check),
    ("leftovers", leftovers::check),
    ("architectures", architectures::check),
    ("links", links::check),
];

/// Holds the tree at a root against every rule and prints the faults and a report. Whether there was no fault.
pub fn run(root: &Path) -> Result<bool, String> {
    let house = House { tree: Tree::read(root)?, crates: workspace::read(root)? };
    let mut faults = 0;
    for (name, rule) in RULES {
        for fault in rule(&house) {
            println!("tidy [{name}]: {fault}");
            faults += 1;
        }
    }
    print!("{}", report::text(&house));
    println!("tidy: {} rules, {faults} faults", RULES.len());
    Ok(faults == 0)
}

#[cfg(test)]
impl House {
    /// A house of files alone, written in a test.
    fn of(files: &[(&str, &str)]) -> House {
        House { tree: Tree::sample(files), crates: Vec::new() }
    }
}

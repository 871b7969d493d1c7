//! `cargo xtask check`: the steps of CI in order, cheap ones first, until one fails.
//!
//! Every build is the release profile, because what users run is what the tests test. Lints, tests and documentation
//! share one selection of crates and features, so that each dependency is compiled once for all of them. Only the
//! command is built again, as users get it: without candle, which `cargo run --release` has often done already.

pub mod command;
mod smoke;
mod tally;

use std::path::Path;
use std::time::Instant;

use self::command::{cargo, run as run_command};
use self::tally::Tally;
use crate::tidy;
use crate::tree::Tree;

/// Crates in the dependency tree of the command without candle, its own and its tests' included.
const MAX_CRATES: usize = 250;

/// The selection that steps share.
const EVERYTHING: &str = "--release --workspace --features polysilicon-cli/candle";

struct Step {
    name: &'static str,
    /// Left out by `--fast`.
    slow: bool,
    run: fn(&Path) -> Result<Tally, String>,
}

const STEPS: &[Step] = &[
    step("tidy", |root| match tidy::run(root)? {
        true => Ok(Tally::default()),
        false => Err("the tree breaks the rules printed above".to_owned()),
    }),
    step("scripts", scripts),
    step("format", |root| cargo(root, "fmt --all --check", &[])),
    step("lints", |root| cargo(root, &format!("clippy {EVERYTHING} --all-targets -- -D warnings"), &[])),
    step("tests", tests),
    step("command", |root| cargo(root, "build --release", &[])),
    step("crates", crates),
    step("smoke", smoke::run),
    Step { slow: true, ..step("documentation", documentation) },
];

const fn step(name: &'static str, run: fn(&Path) -> Result<Tally, String>) -> Step {
    Step { name, slow: false, run }
}

/// Runs the steps and prints a summary, and on a last line of its own the count of tests, where a step that failed for
/// another reason than a test counts as one. Whether nothing failed.
pub fn run(root: &Path, fast: bool) -> bool {
    let mut total = Tally::default();
    let mut summary = String::new();
    for step in STEPS.iter().filter(|step| !(fast && step.slow)) {
        println!("check: {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(root);
        let seconds = start.elapsed().as_secs_f64();
        let (verdict, reason) = match &outcome {
            Ok(tally) if tally.failed == 0 => ("ok", ""),
            Ok(_) => ("FAILED", "tests failed"),
            Err(reason) => ("FAILED", reason.as_str()),
        };
        let line = format!("  {:<14} {verdict:<6} {seconds:>7.1} s  {reason}", step.name);
        summary = summary + line.trim_end() + "\n";
        total = total.plus(outcome.unwrap_or(Tally { failed: 1, ..Tally::default() }));
        if total.failed > 0 {
            break;
        }
    }
    if total.ignored > 0 {
        summary += &format!("  {} tests were ignored\n", total.ignored);
    }
    if total.skipped > 0 {
        summary += &format!(
            "  {} TESTS DID NOTHING, and said so in lines that begin with `skipped:`. Where they ask for stock XLA, \
             set POLYSILICON_XLA_PYTHON as .ci/run does.\n",
            total.skipped
        );
    }
    println!("check: the steps and their times\n{summary}{total}");
    total.failed == 0
}

/// Every test of the workspace, documentation examples too. All of them run, whatever fails.
fn tests(root: &Path) -> Result<Tally, String> {
    let (success, tally) = command::tests(root, &format!("test {EVERYTHING} --no-fail-fast"))?;
    match (success, tally) {
        (true, Tally { passed: 0, .. }) => Err("not one test ran".to_owned()),
        (true, tally) => Ok(tally),
        // A test program that crashes or does not compile says nothing of its tests.
        (false, tally) => Ok(Tally { failed: tally.failed.max(1), ..tally }),
    }
}

/// How many crates the command is made of.
fn crates(root: &Path) -> Result<Tally, String> {
    let tree = command::output(root, "cargo", "tree --package polysilicon-cli --prefix none")?;
    let name_and_version = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mut crates: Vec<String> =
        tree.lines().map(name_and_version).filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    println!("{} crates", crates.len());
    match crates.len() {
        0 => Err("cargo tree named no crate".to_owned()),
        n if n < MAX_CRATES => Ok(Tally::default()),
        n => Err(format!("{n} crates; the command without candle stays under {MAX_CRATES}")),
    }
}

/// Every Python script parses.
fn scripts(root: &Path) -> Result<Tally, String> {
    let tree = Tree::read(root)?;
    let scripts = tree.files.iter().map(|file| file.path.as_str()).filter(|path| path.ends_with(".py"));
    let parse =
        "import ast, sys\nfor path in sys.argv[1:]: ast.parse(open(path, encoding='utf-8').read(), path)";
    let arguments: Vec<&str> = ["-c", parse].into_iter().chain(scripts).collect();
    run_command(root, "python3", &arguments, &[])
}

fn documentation(root: &Path) -> Result<Tally, String> {
    cargo(root, &format!("doc {EVERYTHING} --no-deps"), &[("RUSTDOCFLAGS", "-D warnings")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_cheap_first_and_only_the_documentation_is_slow() {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.first(), Some(&"tidy"));
        let place = |name| names.iter().position(|n| *n == name);
        assert!(
            place("lints") < place("tests")
                && place("tests") < place("command")
                && place("command") < place("smoke")
        );
        assert_eq!(
            STEPS.iter().filter(|step| step.slow).map(|step| step.name).collect::<Vec<_>>(),
            ["documentation"]
        );
    }
}

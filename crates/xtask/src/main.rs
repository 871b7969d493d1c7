//! The project's own chores: `cargo xtask tidy` holds the rules of the house, `cargo xtask check` is all that CI runs.

#![forbid(unsafe_code)]

mod check;
mod scan;
mod simulate;
mod source;
mod tidy;
mod tree;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask tidy            hold the tree against the rules of the house (seconds)
cargo xtask check           run everything that CI runs, in its order
cargo xtask check --fast    the same without building the documentation
cargo xtask simulate [--seeds N] [--seed S]
                            run the engine's simulation from N seeds (1000 unless said), the first of them S";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let good = match arguments[..] {
        ["tidy"] => tidy::run(&root()),
        ["check"] => Ok(check::run(&root(), false)),
        ["check", "--fast"] => Ok(check::run(&root(), true)),
        ["simulate", ref words @ ..] => match simulate::Seeds::parse(words) {
            Some(seeds) => simulate::run(&root(), seeds),
            None => return usage(),
        },
        _ => return usage(),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// The root of the workspace: cargo says where this crate stands, two folders below it.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.and_then(|here| here.ancestors().nth(2).map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("."))
}

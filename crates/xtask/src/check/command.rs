//! Other programs, started from the root of the workspace.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::tally::Tally;

/// Runs cargo with these words and environment variables; what it prints is for the reader.
pub fn cargo(root: &Path, arguments: &str, variables: &[(&str, &str)]) -> Result<Tally, String> {
    run(root, "cargo", &arguments.split(' ').collect::<Vec<_>>(), variables)
}

/// Runs a program that must succeed.
pub fn run(
    root: &Path,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<Tally, String> {
    let status = command(root, program, arguments)
        .envs(variables.iter().copied())
        .status()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if status.success() { Ok(Tally::default()) } else { Err(format!("{program} ended with {status}")) }
}

/// Runs a program that must succeed, for what it writes to its standard output.
pub fn output(root: &Path, program: &str, arguments: &str) -> Result<String, String> {
    let output = command(root, program, &arguments.split(' ').collect::<Vec<_>>())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("what {program} wrote is not text"))
}

/// Runs `cargo test`, passing its output on and counting the tests. Whether it succeeded, and the count.
pub fn tests(root: &Path, arguments: &str) -> Result<(bool, Tally), String> {
    let failed = |error: std::io::Error| format!("cargo test could not be run: {error}");
    let mut child = command(root, "cargo", &arguments.split(' ').collect::<Vec<_>>())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut tally = Tally::default();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(failed)?;
        println!("{line}");
        tally = tally.plus(Tally::of_line(&line).unwrap_or_default());
    }
    Ok((child.wait().map_err(failed)?.success(), tally))
}

fn command(root: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    // What cargo says of this crate when it runs it would make build scripts that read it run anew, and so everything
    // above them: a build from here must be the same build as one from the user's shell.
    for (name, _) in std::env::vars_os() {
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if ours {
            command.env_remove(&name);
        }
    }
    command
}

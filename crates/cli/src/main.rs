//! The `polysilicon` command: one file per subcommand under `commands/`, over the facade and nothing below it.

#![forbid(unsafe_code)]

mod answers;
mod args;
mod built;
mod commands;
mod failure;
mod neighbours;
mod output;
mod prices;
mod progress;
mod reports;
mod sampling;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// Runs language models and says what it did: `polysilicon` alone continues a story with the model inside it.
#[derive(Parser)]
#[command(
    name = "polysilicon",
    version,
    max_term_width = 100,
    override_usage = "polysilicon [COMMAND]",
    after_help = "Example: polysilicon run path/to/model -p 'Once upon a time' -n 64"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let done = Cli::parse_from(arguments()).command.execute();
    done.unwrap_or_else(|failure| failure.report())
}

/// The program's arguments; `run` where there are none.
fn arguments() -> Vec<OsString> {
    let mut arguments = std::env::args_os().collect::<Vec<_>>();
    if arguments.len() == 1 {
        arguments.push("run".into());
    }
    arguments
}

//! The subcommands, one file each.

mod bench;
mod calibrate;
mod chat;
mod chips;
mod compile;
mod devices;
mod diff;
mod inspect;
mod logits;
mod perplexity;
mod predict;
mod quantize;
mod reprice;
mod run;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;
pub use predict::{Told, parse_share};

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Continue a prompt
    Run(run::Run),
    /// Talk with a model in its chat template
    Chat(chat::Chat),
    /// Write the logits of every position of a prompt
    Logits(logits::Logits),
    /// Measure how well a model predicts a text
    Perplexity(perplexity::Perplexity),
    /// Tell what is known of a model without loading it
    Inspect(inspect::Inspect),
    /// Print a model's graph as text
    Show(show::Show),
    /// Write a model as a GGUF file, its weights in another type
    Quantize(quantize::Quantize),
    /// Make a model's programs for Neuron chips, ahead of time
    Compile(compile::Compile),
    /// Find the first value in which two devices differ
    Diff(diff::Diff),
    /// List the devices present
    Devices(devices::Devices),
    /// List chips and instances with their prices, each with its date and its source
    Chips(chips::Chips),
    /// Tell what a model would take and cost on chips that are not here
    Predict(predict::Predict),
    /// Fit to recorded runs what this program takes on a machine, and tell what the fit is worth
    Calibrate(calibrate::Calibrate),
    /// Tell what recorded results cost under other prices
    Reprice(reprice::Reprice),
    /// Time a model, and its kernels
    Bench(bench::Bench),
}

impl Command {
    /// Does it; the exit status of a command that ran to its end.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        match self {
            Command::Run(run) => run.execute(),
            Command::Chat(chat) => chat.execute(),
            Command::Logits(logits) => logits.execute(),
            Command::Perplexity(perplexity) => perplexity.execute(),
            Command::Inspect(inspect) => inspect.execute(),
            Command::Show(show) => show.execute(),
            Command::Quantize(quantize) => quantize.execute(),
            Command::Compile(compile) => compile.execute(),
            Command::Diff(diff) => return diff.execute(),
            Command::Devices(devices) => devices.execute(),
            Command::Chips(chips) => chips.execute(),
            Command::Predict(predict) => predict.execute(),
            Command::Calibrate(calibrate) => calibrate.execute(),
            Command::Reprice(reprice) => reprice.execute(),
            Command::Bench(bench) => bench.execute(),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

//! `compile`: a model's programs for Neuron chips, ahead of time.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, value_parser};
use polysilicon::{Compile as Making, Compiled, Compiling, DType};
use serde_json::Value;

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::output::{note, print_json, print_table};
use crate::progress::Bar;
use crate::units::bytes;

#[derive(Args)]
#[command(
    after_help = "No weight is read, and no chip is needed. Without neuronx-cc, modules are written and a script that \
                  compiles them elsewhere. Nothing here was run on a chip yet.\n\n\
                  Example: polysilicon compile path/to/model --target trn2 --tp 4 --out bundle"
)]
pub struct Compile {
    #[command(flatten)]
    model: ModelArgs,
    /// The chip: trn1, inf2, trn2 or trn3
    #[arg(long, value_name = "CHIP", value_parser = PossibleValuesParser::new(["trn1", "inf2", "trn2", "trn3"]))]
    target: String,
    /// Logical cores that run the model together, each with its part of the weights
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1024))]
    tp: u32,
    /// The folder to write: modules, programs and a manifest
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Steps to make programs for, with commas between: decode-SEQUENCESxPOSITIONS, prefill-TOKENSxPOSITIONS
    /// [default: decoding with 1, 2, 4 and so on up to --sequences, and prompts in pieces]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    buckets: Vec<String>,
    /// The most tokens of prompt and answer together [default: 4096, or what the model declares]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// The most requests that decode together
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=4096))]
    sequences: u32,
    /// Keep keys and values in bf16, f16 or f32
    #[arg(long, value_name = "TYPE", default_value = "bf16")]
    kv: DType,
    /// Store matrices in f8, int8, int8-blocks or mxfp8 (trn3), or leave those found in mxfp4 packed [default: bf16]
    #[arg(long, value_name = "TYPE")]
    weights: Option<String>,
    /// The compiler [default: as POLYSILICON_NEURONX_CC says, or neuronx-cc on the path]
    #[arg(long, value_name = "PATH")]
    compiler: Option<PathBuf>,
    /// Keep programs here, to make each once [default: as POLYSILICON_NEURON_CACHE says, or polysilicon/neuron below the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Minutes that one module may take
    #[arg(long, value_name = "MINUTES", default_value = "240", value_parser = value_parser!(u64).range(1..=10_080))]
    limit: u64,
    /// Modules to compile at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    jobs: Option<usize>,
    /// Print the manifest as one JSON object
    #[arg(long)]
    json: bool,
}

impl Compile {
    /// Writes the bundle.
    pub fn execute(self) -> Result<(), Failure> {
        let (writing, compiling) = (
            Bar::counting("writing".to_owned(), "modules"),
            Bar::counting("compiling".to_owned(), "modules"),
        );
        let mut making = Making::new(self.model.open()?, &self.target)?
            .ranks(self.tp)
            .kv(self.kv)
            .sequences(self.sequences)
            .buckets(self.buckets)
            .limit(Duration::from_secs(self.limit * 60))
            .on_progress(move |step| match step {
                Compiling::Written { done, of } => writing.show(done as u64, of as u64),
                Compiling::Compiled { done, of } => compiling.show(done as u64, of as u64),
            });
        if let Some(name) = self.weights {
            making = making.weights(&name)?;
        }
        if let Some(tokens) = self.context {
            making = making.context(tokens);
        }
        if let Some(command) = self.compiler {
            making = making.compiler(command);
        }
        if let Some(folder) = self.cache {
            making = making.cache(folder);
        }
        if let Some(modules) = self.jobs {
            making = making.at_once(modules);
        }
        let made = making.write(&self.out)?;
        for line in &made.notes {
            note(&format!("note: {line}"));
        }
        if self.json {
            return print_json(&made.manifest);
        }
        print_table(&table(&made))
    }
}

/// What a core holds, and what each program can reach.
fn table(made: &Compiled) -> Vec<(&'static str, String)> {
    let manifest = &made.manifest;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_core = |part: &str| bytes(manifest["bytes_per_core"][part].as_u64().unwrap_or(0));
    let cores = &manifest["ranks"];
    let mut rows = vec![
        ("model", text(&manifest["model"])),
        (
            "chip",
            format!(
                "{}, {cores} logical core{}",
                text(&manifest["target"]),
                if *cores == 1 { "" } else { "s" }
            ),
        ),
        (
            "each core",
            format!(
                "{} of weights, {} of keys and values, {} kept for programs, of {}",
                of_core("weights"),
                of_core("states"),
                of_core("reserved"),
                of_core("available")
            ),
        ),
    ];
    for program in manifest["programs"].as_array().into_iter().flatten() {
        let predicted = &program["predicted"];
        let number = |key: &str| predicted[key].as_f64().unwrap_or(0.0);
        rows.push((
            if made.complete { "program" } else { "module" },
            format!(
                "{}: at best {:.3} ms a step, {:.0} tokens/s, bound by {} (predicted, not measured)",
                text(&program["name"]),
                number("step_ms"),
                number("tokens_per_s"),
                text(&predicted["bound"]),
            ),
        ));
    }
    rows
}

//! `quantize`: a model as a GGUF file, its weights in another type.

use std::path::PathBuf;

use clap::Args;
use polysilicon::{Quantize as Writing, Quantized, Target};
use serde_json::{Value, json};

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::output::{note, print_json};
use crate::progress::Bar;
use crate::units::bytes;

#[derive(Args)]
#[command(
    after_help = "Vectors stay in f32. The matrix that makes the logits is q6_k beside types of fewer than eight bits.\n\n\
                  Example: polysilicon quantize path/to/model --to q4_k_m --out model-q4_k_m.gguf"
)]
pub struct Quantize {
    /// A Hugging Face folder, a .gguf file, a hub id (org/name), shape:NAME[@TYPE], or the tiny model inside this
    /// program
    #[arg(value_name = "MODEL", default_value = ModelArgs::EMBEDDED)]
    model: String,
    /// The type of the weights (f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs,
    /// mxfp4) or a mix of types (q2_k, q3_k_s, q3_k_m, q3_k_l, q4_k_s, q4_k_m, q5_k_s, q5_k_m)
    #[arg(long, value_name = "TYPE")]
    to: Target,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite the file where it is there already
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Download a hub id that the local cache does not hold
    #[arg(long)]
    download: bool,
}

impl Quantize {
    /// Writes the file.
    pub fn execute(self) -> Result<(), Failure> {
        let model = ModelArgs { model: self.model, quantize: None, download: self.download };
        let opened = model.open()?;
        let bar = Bar::new(format!("writing {}", self.out.display()));
        let writing = Writing::new(opened, self.to)
            .overwrite(self.force)
            .on_progress(move |progress| bar.show(progress.done, progress.total));
        let written = writing.write(&self.out)?;
        for line in &written.notes {
            note(&format!("note: {line}"));
        }
        if self.json {
            return print_json(&report(&written));
        }
        let facts = &written.facts;
        let random = if facts.random { "; the weights are random, so they mean nothing" } else { "" };
        let (file, size) = (self.out.display(), bytes(written.bytes));
        let formats = facts.formats.iter().map(|(dtype, weights, _)| format!("{weights} in {dtype}"));
        let formats = formats.collect::<Vec<_>>().join(", ");
        note(&format!("{file} has {size}, {:.2} bits per weight: {formats}{random}", bits(&written)));
        Ok(())
    }
}

/// Bits per weight, vectors included.
fn bits(written: &Quantized) -> f64 {
    8.0 * written.facts.weight_bytes as f64 / written.facts.parameters as f64
}

fn report(written: &Quantized) -> Value {
    let facts = &written.facts;
    let formats = facts.formats.iter();
    let formats = formats
        .map(|(dtype, weights, bytes)| json!({"type": dtype.name(), "weights": weights, "bytes": bytes}));
    json!({
        "bytes": written.bytes,
        "parameters": facts.parameters,
        "bits_per_weight": bits(written),
        "formats": formats.collect::<Vec<_>>(),
        "random_weights": facts.random,
        "notes": written.notes,
    })
}

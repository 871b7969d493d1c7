//! `perplexity`: how well a model predicts a text, and how far it is from another.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use polysilicon::{Against, Error, Fit, Model, Perplexity as Measure, Scores, Target};
use serde_json::{Value, json};

use crate::args::{DeviceArgs, ModelArgs, Precision};
use crate::failure::Failure;
use crate::output::{print_json, print_table};
use crate::progress::Bar;

#[derive(Args)]
#[command(
    after_help = "The text is cut into chunks of --chunk tokens, each a prompt of its own, and what is left over is not \
                  used. Scored are the predictions in the second half of each chunk, as llama.cpp does it.\n\n\
                  Example: polysilicon perplexity path/to/model --quantize q4_k_m --file wiki.txt --against path/to/model"
)]
pub struct Perplexity {
    /// The text to predict
    #[arg(long, value_name = "TEXT")]
    file: PathBuf,
    /// Compare with the predictions of this model: KL divergence from it, and how often both find the same token
    /// likeliest
    #[arg(long, value_name = "MODEL")]
    against: Option<String>,
    /// Change the weights of the other model to this type; alone, the other model is MODEL itself
    #[arg(long, value_name = "TYPE")]
    against_quantize: Option<Target>,
    /// Run the other model with this --precision; alone, the other model is MODEL itself
    #[arg(long, value_name = "WORD")]
    against_precision: Option<Precision>,
    /// Tokens per chunk [default: 512, or what the context or the text holds where that is less]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(i64::from(Measure::TOKENS_MIN)..))]
    chunk: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Perplexity {
    /// Measures and prints.
    pub fn execute(self) -> Result<(), Failure> {
        let text = read(&self.file)?;
        let model = self.device.load(self.model.open()?)?;
        let base = self.base()?;
        let bar = Bar::counting(format!("measuring {}", self.file.display()), "tokens");
        let mut measure = Measure::of(&model).on_progress(|progress| bar.show(progress.done, progress.total));
        if let Some(base) = &base {
            measure = measure.against(base);
        }
        if let Some(tokens) = self.chunk {
            measure = measure.chunk(tokens);
        }
        let scores = measure.text(&text)?;
        drop(measure);
        drop(bar);
        match self.json {
            true => print_json(&report(&scores, &model, base.as_ref())),
            false => print_table(&table(&scores, &model, base.as_ref())),
        }
    }

    /// The model to compare with, on the same device.
    fn base(&self) -> Result<Option<Model>, Failure> {
        let named =
            [self.against.is_some(), self.against_quantize.is_some(), self.against_precision.is_some()];
        if !named.contains(&true) {
            return Ok(None);
        }
        let model = self.against.clone().unwrap_or_else(|| self.model.model.clone());
        let base = ModelArgs { model, quantize: self.against_quantize, download: self.model.download };
        let mut builder = self.device.builder(base.open()?);
        if let Some(precision) = self.against_precision {
            builder = builder.precision(precision.into());
        }
        Ok(Some(builder.load()?))
    }
}

/// A text of no more bytes than are measured.
fn read(path: &Path) -> Result<String, Error> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let most = Measure::TEXT_BYTES_MAX;
    let mut text = String::new();
    let mut file = File::open(path).map_err(fail)?.take(most as u64 + 1);
    file.read_to_string(&mut text).map_err(fail)?;
    if text.len() > most {
        let reason = format!("it has more than {most} bytes; cut it into parts");
        return Err(fail(IoError::new(ErrorKind::FileTooLarge, reason)));
    }
    Ok(text)
}

fn report(scores: &Scores, model: &Model, base: Option<&Model>) -> Value {
    let fit =
        |fit: &Fit| json!({"loss": fit.loss, "perplexity": fit.perplexity, "perplexity_error": fit.error});
    let mut report = json!({
        "model": model.name(),
        "device": model.device(),
        "random_weights": model.is_random(),
        "tokens": scores.tokens,
        "chunk": scores.chunk,
        "chunks": scores.chunks,
        "scored": scores.scored,
    });
    report["loss"] = scores.model.loss.into();
    report["perplexity"] = scores.model.perplexity.into();
    report["perplexity_error"] = scores.model.error.into();
    if let Some((base, against)) = base.zip(scores.against.as_ref()) {
        let Against { kl_mean, kl_p50, kl_p99, kl_max, same_top, .. } = against;
        report["against"] = fit(&against.base);
        report["against"]["model"] = base.name().into();
        report["kl"] = json!({"mean": kl_mean, "p50": kl_p50, "p99": kl_p99, "max": kl_max});
        report["same_top"] = (*same_top).into();
    }
    report
}

fn table(scores: &Scores, model: &Model, base: Option<&Model>) -> Vec<(&'static str, String)> {
    let fit = |fit: &Fit, model: &Model| {
        let random = if model.is_random() { ", random weights" } else { "" };
        format!("{:.4} ± {:.4} ({}{random})", fit.perplexity, fit.error, model.name())
    };
    let Scores { tokens, chunk, chunks, scored, .. } = scores;
    let mut rows = vec![
        ("text", format!("{tokens} tokens, {chunks} chunks of {chunk}, {scored} predictions scored")),
        ("perplexity", fit(&scores.model, model)),
    ];
    if let Some((base, against)) = base.zip(scores.against.as_ref()) {
        let Against { kl_mean, kl_p50, kl_p99, kl_max, same_top, .. } = against;
        rows.extend([
            ("against", fit(&against.base, base)),
            ("kl", format!("mean {kl_mean:.6}, p50 {kl_p50:.6}, p99 {kl_p99:.6}, max {kl_max:.6} nats")),
            ("same top", format!("{:.2}% of predictions", 100.0 * same_top)),
        ]);
    }
    rows
}

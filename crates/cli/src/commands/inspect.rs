//! `inspect`: what is known of a model before it is loaded.

use clap::Args;
use polysilicon::{DType, Error, Facts, devices};
use serde_json::{Value, json};

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::output::{print, print_json, print_table};
use crate::units::{bytes, count, parse_bytes};

#[derive(Args)]
#[command(after_help = "Example: polysilicon inspect shape:llama-3.1-8b@q4_0 --memory 16GiB")]
pub struct Inspect {
    /// Print one JSON object
    #[arg(long, conflicts_with = "template")]
    json: bool,
    /// Print the chat template and nothing else
    #[arg(long)]
    template: bool,
    /// Bytes that weights, keys and values may take [default: what is available here]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// The type of keys and values to count with [default: the best device's own choice]
    #[arg(long, value_name = "TYPE")]
    kv: Option<DType>,
    #[command(flatten)]
    model: ModelArgs,
}

impl Inspect {
    /// Prints the facts.
    pub fn execute(self) -> Result<(), Failure> {
        let best = devices().into_iter().find(|device| device.auto);
        let (memory, kv) = best.map_or((None, DType::F16), |device| (device.memory_bytes, device.kv[0]));
        let facts = self.model.open()?.facts(self.kv.unwrap_or(kv))?;
        let memory = self.memory.or(memory);
        match (self.template, self.json) {
            (true, _) => print(&facts.template.ok_or(Error::NoTemplate)?),
            (_, true) => print_json(&report(&facts, memory)),
            _ => print_table(&table(&facts, memory)),
        }
    }
}

fn report(facts: &Facts, memory: Option<u64>) -> Value {
    let format = |&(dtype, weights, bytes): &(DType, usize, u64)| json!({"type": dtype.name(), "weights": weights, "bytes": bytes});
    let memory = memory.map(|available| {
        let context = facts.context_within(available);
        json!({"available_bytes": available, "fits": fits(facts, available), "context": context})
    });
    json!({
        "model": facts.name,
        "random_weights": facts.random,
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "weight_bytes": facts.weight_bytes,
        "formats": facts.formats.iter().map(format).collect::<Vec<_>>(),
        "layers": facts.layers,
        "vocab": facts.vocab,
        "context": facts.context,
        "windows": facts.windows,
        "kv": {"type": facts.kv.name(), "bytes_per_token": facts.kv_bytes_per_token},
        "end_ids": facts.end_ids,
        "tokenizer": facts.tokenizer,
        "template": facts.template,
        "memory": memory,
    })
}

fn table(facts: &Facts, memory: Option<u64>) -> Vec<(&'static str, String)> {
    let random = if facts.random { " (random weights)" } else { "" };
    let beyond = if facts.windows.is_empty() { "" } else { " in layers without a window" };
    let mut rows = vec![
        ("model", format!("{}{random}", facts.name)),
        ("architecture", facts.architecture.clone()),
        ("parameters", count(facts.parameters)),
        ("weights", bytes(facts.weight_bytes)),
    ];
    rows.extend(
        facts
            .formats
            .iter()
            .map(|&(dtype, weights, size)| ("", format!("{weights} in {dtype}, {}", bytes(size)))),
    );
    rows.extend([
        ("layers", facts.layers.to_string()),
        ("vocabulary", facts.vocab.to_string()),
        ("context", format!("{} tokens", facts.context)),
        ("windows", list(&facts.windows)),
        ("kv", format!("{} per token in {}{beyond}", bytes(facts.kv_bytes_per_token), facts.kv)),
        ("end tokens", list(&facts.end_ids)),
        ("tokenizer", yes(facts.tokenizer)),
        ("template", yes(facts.template.is_some())),
    ]);
    if let Some(available) = memory {
        let verdict = match fits(facts, available) {
            true => format!("the weights and a context of {} tokens fit", facts.context_within(available)),
            false => "the weights do not fit".to_owned(),
        };
        rows.push(("memory", format!("of {} here, {verdict}", bytes(available))));
    }
    rows
}

/// Whether the weights and at least one token fit.
fn fits(facts: &Facts, available: u64) -> bool {
    facts.weight_bytes <= available && facts.context_within(available) > 0
}

fn list(numbers: &[u32]) -> String {
    match numbers {
        [] => "none".to_owned(),
        _ => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn yes(is: bool) -> String {
    (if is { "yes" } else { "no" }).to_owned()
}

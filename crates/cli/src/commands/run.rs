//! `run`: continue a prompt.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use clap::Args;
use polysilicon::cost::{Phase, Totals};
use polysilicon::{Model, Piece, Receipt, Sampling};
use serde_json::{Value, json};

use crate::answers::{AnswerArgs, SpeculationArgs, print_all, report_all};
use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::neighbours::neighbours;
use crate::output::{note, print, print_json};
use crate::prices::{Known, PriceArgs, today};
use crate::sampling::{FormArgs, SamplingArgs, formed};
use crate::units::parse_id;

/// What the model inside the program continues where no prompt is given.
const PROMPT: &str = "Once upon a time";

/// The longest prompt read from standard input, in bytes.
const PROMPT_BYTES_MAX: u64 = 8 << 20;

#[derive(Args)]
#[command(
    after_help = "Example: polysilicon run path/to/model -p 'The cat' -n 64 --temperature 0.7 --seed 1"
)]
pub struct Run {
    /// The text to continue, as it is: `chat` applies a model's template, and control tokens spelled out here are text;
    /// - reads it from standard input
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The token ids to continue, e.g. 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = parse_id, conflicts_with = "prompt")]
    ids: Option<Vec<u32>>,
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    /// Tell the log-probability of each token and of this many likeliest ones in its place
    #[arg(long, value_name = "N", requires = "json")]
    logprobs: Option<u32>,
    /// Tell the same of the prompt's tokens
    #[arg(long, requires = "json")]
    prompt_logprobs: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    answers: AnswerArgs,
    #[command(flatten)]
    speculation: SpeculationArgs,
    #[command(flatten)]
    price: PriceArgs,
}

impl Run {
    /// Generates.
    pub fn execute(self) -> Result<(), Failure> {
        let start = Instant::now();
        let text = self.text()?;
        let form = self.form.source()?;
        let catalogue = self.price.catalogue()?;
        let known = self.price.known(&catalogue, self.device.device)?;
        let builder = self.device.builder(self.model.open()?).sequences(self.answers.sequences());
        let builder = match &known {
            Some(known) => builder.price(known.price.clone()),
            None => builder,
        };
        let model = self.speculation.load(builder)?;
        let load = start.elapsed();
        let prompt = match (&self.ids, &text) {
            (Some(ids), _) => ids.clone(),
            (None, text) => model.encode(text)?,
        };
        let sampling = self.sampling.sampling().top_logprobs(self.logprobs.unwrap_or(0));
        let sampling = self.speculation.speculate(sampling.prompt_logprobs(self.prompt_logprobs));
        let sampling = formed(sampling, form.as_ref(), &model)?;
        if !self.answers.are_plain() {
            return self.several(&model, &prompt, &sampling, load, known.as_ref());
        }
        let mut stream = model.generate(prompt.clone(), &sampling)?;
        if self.is_demonstration() && !self.json {
            print(&text)?;
        }
        let mut pieces = vec![];
        for piece in &mut stream {
            let piece = piece?;
            if !self.json {
                print(&shown(&model, &piece, pieces.is_empty()))?;
            }
            pieces.push(piece);
        }
        let receipt = stream.receipt().ok_or(polysilicon::Error::Stopped)?;
        if self.json {
            let mut report = self.report(&model, &prompt, load, &pieces, receipt);
            report["cost"] = cost_report(receipt, known.as_ref());
            return print_json(&report);
        }
        print("\n")?;
        note(&(closing_line(&model, receipt) + &cost_line(receipt)));
        match self.is_demonstration() && !model.is_emulated() {
            true => print(&format!("\n{}", neighbours(&model, receipt, &catalogue)?)),
            false => Ok(()),
        }
    }

    /// Makes several answers, or searches for the best.
    fn several(
        &self,
        model: &Model,
        prompt: &[u32],
        sampling: &Sampling,
        load: Duration,
        known: Option<&Known>,
    ) -> Result<(), Failure> {
        let before = model.totals()?;
        let answers = self.answers.make(model, prompt, sampling)?;
        let charged = |totals: &Totals| totals.receipts_s + totals.dropped_s;
        let seconds = charged(&model.totals()?) - charged(&before);
        if !self.json {
            return print_all(model, &answers);
        }
        print_json(&json!({
            "model": model.name(),
            "device": model.device(),
            "random_weights": model.is_random(),
            "prompt_ids": prompt,
            "answers": report_all(&answers),
            "timing": {"load_s": load.as_secs_f64()},
            "cost": {
                "seconds": seconds,
                "usd": known.map(|known| known.price.dollars(seconds)),
                "price": known.map(Known::report),
            },
        }))
    }

    /// The prompt's text; empty where ids are given.
    fn text(&self) -> Result<String, Failure> {
        match &self.prompt {
            Some(dash) if dash == "-" => {
                let mut text = String::new();
                io::stdin().take(PROMPT_BYTES_MAX + 1).read_to_string(&mut text).map_err(Failure::Input)?;
                if text.len() as u64 > PROMPT_BYTES_MAX {
                    return Err(Failure::Usage(format!(
                        "the prompt has more than {PROMPT_BYTES_MAX} bytes; shorten it"
                    )));
                }
                // The newline that ends a file or an `echo` is no part of a prompt.
                let bare = text.strip_suffix('\n').map_or(text.len(), str::len);
                text.truncate(bare);
                Ok(text)
            }
            Some(text) => Ok(text.clone()),
            None if self.ids.is_some() => Ok(String::new()),
            None if self.is_demonstration() => Ok(PROMPT.to_owned()),
            None => Err(Failure::Usage(format!(
                "there is no prompt for {}; give one with -p TEXT, -p - or --ids 1,2,3",
                self.model.model
            ))),
        }
    }

    /// Whether the program shows what it can do, having been given neither model nor prompt.
    fn is_demonstration(&self) -> bool {
        self.prompt.is_none() && self.ids.is_none() && self.model.is_embedded()
    }

    fn report(
        &self,
        model: &Model,
        prompt: &[u32],
        load: Duration,
        pieces: &[Piece],
        receipt: &Receipt,
    ) -> Value {
        let mut report = json!({
            "model": model.name(),
            "device": model.device(),
            "random_weights": model.is_random(),
            "prompt_ids": prompt,
            "ids": receipt.ids,
            "text": receipt.text,
            "finish_reason": receipt.finish_reason.as_str(),
            "usage": {
                "prompt_tokens": receipt.prompt_tokens,
                "cached_tokens": receipt.cached_tokens,
                "completion_tokens": receipt.completion_tokens,
                "drafted_tokens": receipt.drafted_tokens,
                "accepted_tokens": receipt.accepted_tokens,
            },
            "timing": timing(model, load, receipt),
        });
        if self.logprobs.is_some() {
            report["logprobs"] = pieces.iter().filter_map(logprobs).collect();
        }
        if self.prompt_logprobs {
            let told = receipt.prompt_logprobs.iter().map(|told| token(told.id, told.logprob, &told.top));
            report["prompt_logprobs"] = told.collect();
        }
        report
    }
}

/// A piece as it is printed: its text, or its id where the model has no tokenizer.
fn shown(model: &Model, piece: &Piece, first: bool) -> String {
    match piece.id {
        Some(id) if model.tokenizer().is_none() => format!("{}{id}", if first { "" } else { "," }),
        _ => piece.text.clone(),
    }
}

fn logprobs(piece: &Piece) -> Option<Value> {
    Some(token(piece.id?, piece.logprob, &piece.top))
}

/// A token with its log-probability and the likeliest in its place.
fn token(id: u32, logprob: f32, top: &[(u32, f32)]) -> Value {
    let top = top.iter().map(|(id, logprob)| json!({"id": id, "logprob": logprob})).collect::<Vec<_>>();
    json!({"id": id, "logprob": logprob, "top": top})
}

/// What is known of time. Of an emulation, nothing was measured that means anything.
fn timing(model: &Model, load: Duration, receipt: &Receipt) -> Value {
    match model.is_emulated() {
        true => json!({"emulated": true, "simulated_s": receipt.device.as_secs_f64()}),
        false => json!({
            "load_s": load.as_secs_f64(),
            "ttft_s": receipt.first_token.as_secs_f64(),
            "decode_tokens_per_s": receipt.decode_tokens_per_s(),
        }),
    }
}

fn closing_line(model: &Model, receipt: &Receipt) -> String {
    if model.is_emulated() {
        let (tokens, device) = (receipt.completion_tokens, model.device());
        let simulated = receipt.device.as_secs_f64() * 1e3;
        let plural = if tokens == 1 { "" } else { "s" };
        return format!("{tokens} token{plural} in {simulated:.1} ms of simulated time, on {device}");
    }
    let rate = match receipt.decode_tokens_per_s() {
        0.0 => String::new(),
        rate => format!(" at {rate:.1} tokens/s"),
    };
    let first = receipt.first_token.as_secs_f64() * 1e3;
    let (tokens, device) = (receipt.completion_tokens, model.device());
    let plural = if tokens == 1 { "" } else { "s" };
    let random = if model.is_random() { "; the weights are random, so the answer means nothing" } else { "" };
    format!("{tokens} token{plural}{rate}, the first after {first:.1} ms, on {device}{random}")
}

/// What it cost, with the day of the price.
fn cost_line(receipt: &Receipt) -> String {
    let (Some(dollars), Some(price)) = (receipt.cost.dollars(), &receipt.cost.price) else {
        return String::new();
    };
    let per_million = match receipt.completion_tokens {
        0 => String::new(),
        tokens => format!(", ${:.3} per million tokens out", 1e6 * dollars / f64::from(tokens)),
    };
    format!("; ${dollars:.3e}{per_million}, at {}", price.sentence(today()))
}

/// The receipt, as scripts want it.
fn cost_report(receipt: &Receipt, known: Option<&Known>) -> Value {
    let charge = &receipt.cost.charge;
    let phase = |phase: &Phase| {
        let Phase { tokens, seconds, device_s, bytes, operations } = phase;
        json!({"tokens": tokens, "seconds": seconds, "device_s": device_s, "bytes": bytes, "operations": operations})
    };
    json!({
        "prompt_tokens": receipt.prompt_tokens,
        "cached_tokens": receipt.cached_tokens,
        "completion_tokens": receipt.completion_tokens,
        "prefill": phase(&charge.prefill),
        "decode": phase(&charge.decode),
        "seconds": charge.seconds(),
        "device_s": charge.device_s(),
        "bytes": charge.bytes(),
        "operations": charge.operations(),
        "cached_saved_s": charge.saved_s(receipt.cached_tokens),
        "joules": charge.joules.map_or(json!("unavailable"), |joules| json!(joules)),
        "usd": receipt.cost.dollars(),
        "price": known.map(Known::report),
    })
}

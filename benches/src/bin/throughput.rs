//! `polysilicon-throughput`: what `polysilicon bench` prints, for scripts that hold other engines against it; and how
//! long loading takes.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use benches::{Restored, Served, Shared, restored, served, shared};
use clap::Parser;
use polysilicon::bench::Workload;
use polysilicon::{Builder, DType, Device, Error, Model, Sampling, Target};
use serde_json::{Value, json};

/// Measures how fast a model runs on a device: a warming round, then as many as are asked for.
#[derive(Parser)]
#[command(
    after_help = "Example: polysilicon-throughput --model shape:llama-3.2-1b@q4_0 --depth 0,4096 --json"
)]
struct Arguments {
    /// A model, as `polysilicon run` takes it
    #[arg(long)]
    model: String,
    /// Change the weights to this type as they are loaded
    #[arg(long, value_name = "TYPE")]
    quantize: Option<Target>,
    /// auto, cpu, reference or another device
    #[arg(long, default_value = "auto")]
    device: Device,
    /// Threads to work with [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Keep keys and values in f16, bf16 or q8_0 [default: the device's own choice]
    #[arg(long, value_name = "TYPE")]
    kv: Option<DType>,
    /// Tokens of a prompt; several separated by commas, none where 0
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "512")]
    prompt: Vec<u32>,
    /// Tokens decoded, one at a time per sequence; none where 0
    #[arg(long, value_name = "N", default_value_t = 128)]
    output: u32,
    /// Tokens before the first decoded one
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0")]
    depth: Vec<u32>,
    /// Sequences decoded together
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    sequences: Vec<u32>,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Measure nothing but the time to load and to the first token, as any user of the library has them
    #[arg(long)]
    load: bool,
    /// Decode through the whole library instead, and tell what that adds to the device's own time
    #[arg(long, conflicts_with = "load")]
    engine: bool,
    /// With --engine: guess ahead, and count this share of the guesses as right, whatever they are
    #[arg(long, value_name = "SHARE", requires = "engine")]
    acceptance: Option<f32>,
    /// Ask twice through the whole library with this many tokens in common, and tell when the second has its first token
    #[arg(long, value_name = "N", conflicts_with_all = ["load", "engine"], value_parser = clap::value_parser!(u32).range(16..))]
    shared: Option<u32>,
    /// Keep a session of this many tokens in a file, and tell how long it takes to go on with it
    #[arg(long, value_name = "N", conflicts_with_all = ["load", "engine", "shared"], value_parser = clap::value_parser!(u32).range(16..))]
    session: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let start = Instant::now();
    let arguments = Arguments::parse();
    let told = match (arguments.shared, arguments.session) {
        (Some(tokens), _) => shares(&arguments, tokens),
        (_, Some(tokens)) => sessions(&arguments, tokens),
        _ if arguments.load => load(&arguments, start),
        _ if arguments.engine => engine(&arguments),
        _ => speeds(&arguments),
    };
    match told {
        Ok(text) => println!("{}", text.trim_end()),
        Err(error) => {
            eprintln!("polysilicon-throughput: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Arguments {
    fn builder(&self) -> Result<Builder, Error> {
        let builder = match self.quantize {
            Some(target) => Model::open_quantized(&self.model, target)?,
            None => Model::open(&self.model)?,
        };
        let mut builder = builder.device(self.device);
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        if let Some(kv) = self.kv {
            builder = builder.kv(kv);
        }
        Ok(builder)
    }
}

fn speeds(arguments: &Arguments) -> Result<String, Error> {
    let workload = Workload {
        prompts: arguments.prompt.clone(),
        output: arguments.output,
        depths: arguments.depth.clone(),
        sequences: arguments.sequences.clone(),
        rounds: arguments.rounds,
        ops: None,
    };
    let report = arguments.builder()?.bench(&workload, &mut |_| {})?;
    Ok(if arguments.json { report.json().to_string() } else { report.to_string() })
}

/// Decodes through the library, with the time that the device worked beside the time that passed.
fn engine(arguments: &Arguments) -> Result<String, Error> {
    let deepest = arguments.depth.iter().copied().max().unwrap_or(0);
    let model = arguments.builder()?.context(deepest + arguments.output + 16).load()?;
    let (mut results, mut text) = (vec![], format!("{} on {}\n", model.name(), model.device()));
    for (&depth, &sequences) in
        arguments.depth.iter().flat_map(|depth| arguments.sequences.iter().map(move |seqs| (depth, seqs)))
    {
        // The first round makes the programs.
        for round in 0..=arguments.rounds {
            let Served { tokens, wall, device } =
                served(&model, sequences, [depth, arguments.output], arguments.acceptance, round.into())?;
            let [wall, device] = [wall, device].map(|time| time.as_secs_f64());
            let (rate, added) = (f64::from(tokens) / wall, wall / device - 1.0);
            text += &format!(
                "round {round}, {sequences:>3} sequences at {depth}: {rate:>9.2} tokens/s, {:.1} % beside the \
                 device\n",
                100.0 * added
            );
            results.push(json!({
                "what": "served",
                "tokens": arguments.output,
                "depth": depth,
                "round": round,
                "sequences": sequences,
                "acceptance": arguments.acceptance,
                "tokens_per_s": rate,
                "wall_s": wall,
                "device_s": device,
                "added": added,
            }));
        }
    }
    let report = json!({"model": model.name(), "device": model.device(), "results": results});
    Ok(if arguments.json { report.to_string() } else { text })
}

/// Two requests with a common beginning, round after round, each of another beginning.
fn shares(arguments: &Arguments, tokens: u32) -> Result<String, Error> {
    let model = arguments.builder()?.context(tokens + 64).load()?;
    let (mut results, mut text) = (vec![], format!("{} on {}\n", model.name(), model.device()));
    for round in 0..=arguments.rounds {
        let Shared { first, second, step, cached } = shared(&model, tokens, round)?;
        let [first, second, step] = [first, second, step].map(|time| time.as_secs_f64());
        // Negative where it took less than two steps.
        let beyond = second - 2.0 * step;
        text += &format!(
            "round {round}, {tokens} tokens in common, {cached} cached: first token after {first:.3} s, the second \
             time after {second:.4} s: two steps of {step:.4} s and {:.1} ms\n",
            1e3 * beyond
        );
        results.push(json!({
            "what": "shared",
            "tokens": tokens,
            "round": round,
            "cached_tokens": cached,
            "first_token_s": first,
            "second_first_token_s": second,
            "decode_step_s": step,
            "beyond_two_steps_s": beyond,
        }));
    }
    let report = json!({"model": model.name(), "device": model.device(), "results": results});
    Ok(if arguments.json { report.to_string() } else { text })
}

/// A session kept in a file, round after round.
fn sessions(arguments: &Arguments, tokens: u32) -> Result<String, Error> {
    let model = arguments.builder()?.context(tokens + 64).load()?;
    let (mut results, mut text) = (vec![], format!("{} on {}\n", model.name(), model.device()));
    for round in 0..=arguments.rounds {
        let Restored { prefill, save, restore, resume, bytes } = restored(&model, tokens, round)?;
        let [prefill, save, restore, resume] =
            [prefill, save, restore, resume].map(|time| time.as_secs_f64());
        let share = restore / prefill;
        text += &format!(
            "round {round}, {tokens} tokens, {bytes} bytes: prefill {prefill:.3} s, saved in {save:.3} s, restored in \
             {restore:.3} s ({:.1} % of the prefill), next token after {resume:.3} s\n",
            100.0 * share
        );
        results.push(json!({
            "what": "session",
            "tokens": tokens,
            "round": round,
            "prefill_s": prefill,
            "save_s": save,
            "restore_s": restore,
            "resume_s": resume,
            "bytes": bytes,
            "share_of_prefill": share,
        }));
    }
    let report = json!({"model": model.name(), "device": model.device(), "results": results});
    Ok(if arguments.json { report.to_string() } else { text })
}

/// Loads as the library does, and continues a prompt of 16 tokens by one.
fn load(arguments: &Arguments, start: Instant) -> Result<String, Error> {
    let model = arguments.builder()?.context(512).load()?;
    let loaded = start.elapsed().as_secs_f64();
    let prompt = (1..=16).map(|i| i * 7919 % model.graph().vocab).collect::<Vec<u32>>();
    model.generate(prompt, &Sampling::default().max_tokens(1).ignore_end(true))?.finish()?;
    let first = start.elapsed().as_secs_f64();
    let (name, device) = (model.name(), model.device());
    if !arguments.json {
        return Ok(format!(
            "{name} on {device}\nloaded after {loaded:.3} s\nfirst token after {first:.3} s\n"
        ));
    }
    let report: Value = json!({
        "model": name,
        "device": device,
        "load_s": loaded,
        "first_token_s": first,
        "resident_bytes": memory("VmRSS:"),
        "peak_resident_bytes": memory("VmHWM:"),
    });
    Ok(report.to_string())
}

/// Bytes that the system counts for this process, where it says.
fn memory(what: &str) -> Option<u64> {
    let facts = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = facts.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

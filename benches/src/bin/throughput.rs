//! `polysilicon-throughput`: tokens per second of prompts, of decoding at a depth and of many sequences together, driven
//! directly on a device, with the share of the machine's limits; and how long loading takes.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use benches::{Limits, Machine, Room, Runner, Samples, Step, decode, median, prefill, served};
use clap::Parser;
use polysilicon::{DType, Device, Error, Gauge, Model, Opened, Sampling, Target};
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let start = Instant::now();
    let arguments = Arguments::parse();
    let report = match (arguments.load, arguments.engine) {
        (true, _) => load(&arguments, start),
        (_, true) => engine(&arguments),
        _ => speeds(&arguments),
    };
    match report {
        Ok(report) if arguments.json => println!("{report}"),
        Ok(report) => print!("{}", text(&report)),
        Err(error) => {
            eprintln!("polysilicon-throughput: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The model as any user of the library has it.
fn model(arguments: &Arguments, context: u32) -> Result<Model, Error> {
    let builder = match arguments.quantize {
        Some(target) => Model::open_quantized(&arguments.model, target)?,
        None => Model::open(&arguments.model)?,
    };
    let mut builder = builder.device(arguments.device).context(context);
    if let Some(threads) = arguments.threads {
        builder = builder.threads(threads);
    }
    if let Some(kv) = arguments.kv {
        builder = builder.kv(kv);
    }
    builder.load()
}

/// Decodes through the library, with the time that the device worked beside the time that passed.
fn engine(arguments: &Arguments) -> Result<Value, Error> {
    let model = model(arguments, arguments.output + 16)?;
    let mut results = vec![];
    for &sequences in &arguments.sequences {
        // The first round makes the programs.
        for round in 0..=arguments.rounds {
            let benches::Served { tokens, wall, device } =
                served(&model, sequences, arguments.output, round.into())?;
            results.push(json!({
                "what": "served",
                "tokens": arguments.output,
                "depth": 0,
                "round": round,
                "sequences": sequences,
                "tokens_per_s": f64::from(tokens) / wall.as_secs_f64(),
                "wall_s": wall.as_secs_f64(),
                "device_s": device.as_secs_f64(),
                "added": wall.as_secs_f64() / device.as_secs_f64() - 1.0,
            }));
        }
    }
    Ok(json!({"model": model.name(), "device": model.device(), "results": results}))
}

/// Loads as the library does, and continues a prompt of 16 tokens by one.
fn load(arguments: &Arguments, start: Instant) -> Result<Value, Error> {
    let model = model(arguments, 512)?;
    let loaded = start.elapsed();
    let prompt = (1..=16).map(|i| i * 7919 % model.graph().vocab).collect::<Vec<u32>>();
    model.generate(prompt, &Sampling::default().max_tokens(1).ignore_end(true))?.finish()?;
    Ok(json!({
        "model": model.name(),
        "device": model.device(),
        "load_s": loaded.as_secs_f64(),
        "first_token_s": start.elapsed().as_secs_f64(),
        "resident_bytes": memory("VmRSS:"),
        "peak_resident_bytes": memory("VmHWM:"),
    }))
}

/// Bytes that the system counts for this process, where it says.
fn memory(what: &str) -> Option<u64> {
    let facts = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = facts.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn speeds(arguments: &Arguments) -> Result<Value, Error> {
    let machine = Machine::new(arguments.device, arguments.threads)?;
    let opened = Opened::find(&arguments.model, arguments.quantize)?;
    let caps = machine.backend.caps();
    let graph = opened.graph(arguments.kv.unwrap_or(caps.kv[0]))?;
    let largest = |of: &[u32]| of.iter().copied().max().unwrap_or(0);
    let context = largest(&arguments.prompt).max(largest(&arguments.depth).saturating_add(arguments.output));
    let room = Room { seqs: largest(&arguments.sequences), context: context.max(1) };
    let limits = machine.limits();
    let mut report = json!({
        "model": opened.name(),
        "device": caps.description,
        "threads": machine.threads,
        "kv": arguments.kv.unwrap_or(caps.kv[0]).name(),
        "weight_bytes": graph.weight_bytes(),
    });
    report["results"] = machine.install(|| {
        let runner = Runner::open(&*machine.backend, graph, &**opened.source(), room)?;
        let (gauge, rounds) = (machine.gauge(), arguments.rounds);
        let mut bench = Bench { runner, limits, gauge, rounds, results: vec![] };
        bench.all(arguments)?;
        Ok::<_, Error>(Value::Array(bench.results))
    })?;
    Ok(report)
}

struct Bench {
    runner: Runner,
    limits: Option<Limits>,
    gauge: Option<Gauge>,
    rounds: u32,
    results: Vec<Value>,
}

impl Bench {
    fn all(&mut self, arguments: &Arguments) -> Result<(), Error> {
        for &tokens in arguments.prompt.iter().filter(|&&tokens| tokens > 0) {
            let what = json!({"what": "prefill", "tokens": tokens, "depth": 0, "sequences": 1});
            self.measure(what, &prefill(0, 0..tokens), tokens)?;
        }
        let output = arguments.output;
        for &depth in arguments.depth.iter().filter(|_| output > 0) {
            for &seqs in &arguments.sequences {
                for sequence in 0..seqs {
                    self.runner.run(&prefill(sequence, 0..depth))?;
                }
                let what = json!({"what": "decode", "tokens": output, "depth": depth, "sequences": seqs});
                self.measure(what, &decode(seqs, depth..depth + output), seqs * output)?;
            }
        }
        Ok(())
    }

    /// A warming round, and the others; each runs the same positions anew.
    fn measure(&mut self, mut what: Value, steps: &[Step], tokens: u32) -> Result<(), Error> {
        self.runner.run(steps)?;
        let (mut samples, mut bandwidths) = (Samples::default(), vec![]);
        let mut before = self.gauge.as_mut().map(Gauge::bandwidth);
        for _ in 0..self.rounds {
            samples.push(self.runner.run(steps)?);
            let after = self.gauge.as_mut().map(Gauge::bandwidth);
            bandwidths.extend(before.zip(after).map(|(before, after)| (before + after) / 2.0));
            before = after;
        }
        let rate = |seconds: f64| f64::from(tokens) / seconds;
        what["tokens_per_s"] = json!(rate(samples.median_s()));
        what["rounds"] = samples.seconds().map(rate).collect();
        if let Some(limits) = &self.limits {
            let bound = limits.of(self.runner.graph(), steps);
            let shares =
                samples.seconds().zip(&bandwidths).map(|(seconds, rate)| bound.bytes / rate / seconds);
            what["bytes"] = json!(bound.bytes);
            what["operations"] = json!(bound.operations);
            what["bandwidths_bytes_per_s"] = json!(bandwidths);
            what["share_of_bandwidth"] = json!(median(shares.collect()));
            what["share_of_peak"] = json!(bound.compute_s / samples.median_s());
        }
        self.results.push(what);
        Ok(())
    }
}

fn text(report: &Value) -> String {
    let fact = |name: &str| report[name].as_str().unwrap_or_default();
    let mut text = format!("{} on {}\n", fact("model"), fact("device"));
    for (name, what) in [("load_s", "loaded"), ("first_token_s", "first token")] {
        if let Some(seconds) = report[name].as_f64() {
            text += &format!("{what} after {seconds:.3} s\n");
        }
    }
    for result in report["results"].as_array().into_iter().flatten() {
        let number = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
        text += &format!(
            "{:8} {:>6} tokens at {:>6}, {:>3} sequences: {:>9.2} tokens/s, {:>3.0} % of bandwidth ({:.0} GB/s), {:>3.0} % of peak\n",
            result["what"].as_str().unwrap_or_default(),
            number("tokens"),
            number("depth"),
            number("sequences"),
            number("tokens_per_s"),
            100.0 * number("share_of_bandwidth"),
            bandwidth(result) / 1e9,
            100.0 * number("share_of_peak"),
        );
    }
    text
}

/// The middle of what memory gave meanwhile.
fn bandwidth(result: &Value) -> f64 {
    let all = result["bandwidths_bytes_per_s"].as_array();
    median(all.into_iter().flatten().filter_map(Value::as_f64).collect())
}

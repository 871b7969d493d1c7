//! What `scripts/gpu_session.sh` found, in one JSON and one table, beside what was aimed at.
//!
//!     gpu_report copy FILE.json    measures a copy within the first GPU's memory
//!     gpu_report fold OUT          writes OUT/session.json and OUT/session.md from what the parts left in OUT
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use cuda::{Driver, Memory, Nvidia};
use serde_json::{Value, json};

/// Bytes that are copied at once.
const COPIED: usize = 1 << 30;
/// Copies of a round.
const COPIES: usize = 20;
/// Operations a second of dense bf16, where PyTorch did not tell those of this GPU: an H200's, by others' measurements.
const RATE: f64 = 790e12;

/// How a target is held against what was measured.
#[derive(Clone, Copy)]
enum Kind {
    /// Bytes that must be read, over those that a copy would have moved: at least so much.
    Bandwidth(f64),
    /// Operations, over those that matrices would have been multiplied with: at least so much.
    Rate(f64),
    /// Seconds from the start of the program to the first token: at most so many.
    Seconds(f64),
}

/// Something aimed at: what it is, the part that measures it, and which of its figures.
struct Target {
    what: &'static str,
    part: &'static str,
    /// Phase, tokens before the first or of the prompt, sequences.
    figure: (&'static str, u64, u64),
    kind: Kind,
}

const fn decode(what: &'static str, part: &'static str, depth: u64, sequences: u64, least: f64) -> Target {
    Target { what, part, figure: ("decode", depth, sequences), kind: Kind::Bandwidth(least) }
}

const fn cold(what: &'static str, part: &'static str, most: f64) -> Target {
    Target { what, part, figure: ("cold", 0, 1), kind: Kind::Seconds(most) }
}

const TARGETS: [Target; 10] = [
    decode("8B bf16, one sequence", "bench-8b", 0, 1, 0.85),
    decode("8B q4_k, one sequence", "bench-8b-4bit", 0, 1, 0.70),
    decode("1B bf16, one sequence", "bench-1b", 0, 1, 0.70),
    decode("8B bf16, 8 sequences at 1024", "bench-batch", 1024, 8, 0.75),
    decode("8B bf16, 32 sequences at 1024", "bench-batch", 1024, 32, 0.75),
    decode("8B bf16, 128 sequences at 1024", "bench-batch", 1024, 128, 0.75),
    decode("gpt-oss-20b in mxfp4, one sequence", "bench-moe", 0, 1, 0.60),
    Target {
        what: "8B bf16, a prompt of 2048",
        part: "bench-prefill",
        figure: ("prefill", 2048, 1),
        kind: Kind::Rate(0.55),
    },
    cold("8B to the first token, nothing compiled", "cold", 20.0),
    cold("8B to the first token, kernels kept", "warm", 5.0),
];

fn main() -> ExitCode {
    let args = env::args().skip(1).collect::<Vec<_>>();
    let done = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["copy", file] => copy().and_then(|found| write(Path::new(file), &found.to_string())),
        ["fold", folder] => fold(Path::new(folder)),
        _ => Err("usage: gpu_report copy FILE.json | fold OUT".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("gpu_report: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Bytes a second that a copy within the device moves, read and written: the median of five rounds.
fn copy() -> Result<Value, String> {
    let told = |fault| format!("{fault:?}");
    let driver: Arc<dyn Driver> = Arc::new(Nvidia::open(0).map_err(told)?);
    let memory = Memory::new(&driver, 2 * COPIED).map_err(told)?;
    let mut rounds = vec![];
    for _ in 0..6 {
        // Reading waits for what was enqueued.
        memory.read(0, &mut [0]).map_err(told)?;
        let start = Instant::now();
        for _ in 0..COPIES {
            memory.copy_within(0, COPIED, COPIED).map_err(told)?;
        }
        memory.read(0, &mut [0]).map_err(told)?;
        rounds.push((2 * COPIED * COPIES) as f64 / start.elapsed().as_secs_f64());
    }
    // The first warms up.
    let mut timed = rounds.split_off(1);
    timed.sort_by(f64::total_cmp);
    println!("a copy moves {:.0} GB/s", timed[timed.len() / 2] / 1e9);
    let about = driver.about();
    Ok(
        json!({ "gpu": about.name, "arch": about.arch, "driver": about.driver, "bytes_per_s": timed[timed.len() / 2] }),
    )
}

/// What a part left: nothing, or JSON.
fn left(folder: &Path, name: &str) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join(name)).ok()?).ok()
}

fn fold(folder: &Path) -> Result<(), String> {
    let parts =
        fs::read_to_string(folder.join("parts.txt")).map_err(|error| format!("parts.txt: {error}"))?;
    let (mut all, mut table) = (vec![], String::from("| Part | Verdict | Seconds |\n|---|---|--:|\n"));
    for line in parts.lines() {
        let [name, status, seconds] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let verdict = match status {
            "0" => "good".to_owned(),
            "124" | "137" => format!("out of time, see {name}.txt"),
            _ => format!("status {status}, see {name}.txt"),
        };
        let _ = writeln!(table, "| {name} | {verdict} | {seconds} |");
        let number = |word: &str| word.parse::<u64>().ok();
        let figures = left(folder, &format!("{name}.json"));
        all.push(
            json!({ "name": name, "status": number(status), "seconds": number(seconds), "figures": figures }),
        );
    }
    let copied = left(folder, "copy.json");
    let torch = left(folder, "torch.json");
    let bandwidth = copied.as_ref().and_then(|copied| copied["bytes_per_s"].as_f64());
    let rate = torch.as_ref().and_then(|torch| torch["matrix_operations_per_s"].as_f64());
    let _ = write!(
        table,
        "\nA copy within the device moves {}; ",
        bandwidth.map_or("unknown".to_owned(), |rate| format!("{:.0} GB/s", rate / 1e9))
    );
    let _ = match rate {
        Some(rate) => writeln!(table, "cuBLAS multiplies bf16 at {:.0} TFLOP/s.\n", rate / 1e12),
        None => writeln!(
            table,
            "the rate of matrices was not measured, and is taken as {:.0} TFLOP/s.\n",
            RATE / 1e12
        ),
    };
    table += "| Target | Aimed at | Measured | Tokens/s | Met |\n|---|--:|--:|--:|---|\n";
    let mut held = vec![];
    for target in &TARGETS {
        let (measured, tokens) = target.measured(folder, bandwidth, rate.unwrap_or(RATE));
        let met = measured.map(|measured| target.is_met(measured));
        let aim = match target.kind {
            Kind::Bandwidth(least) => format!("{least:.2} of a copy"),
            Kind::Rate(least) => format!("{least:.2} of matrices"),
            Kind::Seconds(most) => format!("{most:.0} s"),
        };
        let shown = |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
        let word = met.map_or("not measured", |met| if met { "yes" } else { "no" });
        let _ = writeln!(
            table,
            "| {} | {aim} | {} | {} | {word} |",
            target.what,
            shown(measured, 3),
            shown(tokens, 1)
        );
        held.push(json!({ "what": target.what, "aimed_at": aim, "measured": measured, "tokens_per_s": tokens, "met": met }));
    }
    for name in
        parts.lines().filter_map(|line| line.split(' ').next()).filter(|name| name.starts_with("bench"))
    {
        let text = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default();
        let _ = write!(table, "\n## {name}\n\n```\n{}\n```\n", text.trim_end());
    }
    let date = fs::read_to_string(folder.join("date.txt")).unwrap_or_default();
    let gpu = fs::read_to_string(folder.join("gpu.txt")).unwrap_or_default();
    let session =
        json!({ "date": date.trim(), "gpu": gpu.trim(), "copy": copied, "targets": held, "parts": all });
    write(&folder.join("session.json"), &session.to_string())?;
    write(&folder.join("session.md"), &table)
}

impl Target {
    /// What was measured, and tokens a second where that says something.
    fn measured(&self, folder: &Path, bandwidth: Option<f64>, rate: f64) -> (Option<f64>, Option<f64>) {
        let Some(found) = left(folder, &format!("{}.json", self.part)) else { return (None, None) };
        if let Kind::Seconds(_) = self.kind {
            return (found["seconds"].as_f64(), None);
        }
        let (phase, place, sequences) = self.figure;
        let is_it = |figure: &&Value| {
            let at = if phase == "decode" { &figure["depth"] } else { &figure["tokens"] };
            figure["what"] == phase && *at == place && figure["sequences"] == sequences
        };
        let Some(figure) = found["results"].as_array().and_then(|all| all.iter().find(is_it)) else {
            return (None, None);
        };
        let number = |key: &str| figure[key].as_f64();
        let tokens = number("tokens_per_s");
        let seconds = tokens.zip(number("tokens")).map(|(rate, tokens)| tokens * sequences as f64 / rate);
        let (work, limit) = match self.kind {
            Kind::Rate(_) => (number("operations"), Some(rate)),
            _ => (number("bytes"), bandwidth),
        };
        (seconds.zip(work).zip(limit).map(|((seconds, work), limit)| work / seconds / limit), tokens)
    }

    fn is_met(&self, measured: f64) -> bool {
        match self.kind {
            Kind::Bandwidth(least) | Kind::Rate(least) => measured >= least,
            Kind::Seconds(most) => measured <= most,
        }
    }
}

//! `bench`: how fast a model runs, and where the time goes.

mod requests;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use polysilicon::Error;
use polysilicon::bench::{Detail, Report, Workload};

use self::requests::RequestArgs;
use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::output::print;
use crate::prices::PriceArgs;
use crate::progress::Bar;
use crate::reports::ReportArgs;

#[derive(Args)]
#[command(
    after_help = "Steps are timed alone, each figure the median of its rounds beside what memory gave while they ran. Where anything \
                  is asked that only requests can tell (a price, a limit of latency, a rate, a page), the model serves requests \
                  instead, of the first --prompt and of --output tokens, --concurrency at a time.\n\n\
                  Example: polysilicon bench shape:llama-3.2-1b@q4_0 --ops --prompt 0 --depth 4096\n\
                  Example: polysilicon bench path/to/model --concurrency 1,4 --slo 2000/100 --html report.html"
)]
pub struct Bench {
    /// Tokens of a prompt; several separated by commas, none where 0
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "512")]
    prompt: Vec<u32>,
    /// Tokens decoded, one at a time in each sequence; none where 0
    #[arg(long, value_name = "N", default_value_t = 128)]
    output: u32,
    /// Tokens before the first decoded one; several separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0")]
    depth: Vec<u32>,
    /// Sequences decoded together; several separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1",
          value_parser = value_parser!(u32).range(1..=4096))]
    concurrency: Vec<u32>,
    /// Rounds that are timed, behind one that warms up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Time every kernel, and print what each kind took in the round in the middle beside what it takes at best: its
    /// weights, keys and values at the bandwidth that memory gave, or its operations at the measured peak
    #[arg(long)]
    ops: bool,
    /// Print each node of the plan, not only each kind of kernel
    #[arg(long, requires = "ops")]
    layers: bool,
    /// Write the results as one JSON object to this file; - prints it in place of the text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    price: PriceArgs,
}

impl Bench {
    /// Runs it.
    pub fn execute(self) -> Result<(), Failure> {
        if self.requests.are_asked() || self.report.is_asked() || self.price.is_named() {
            return self.serve();
        }
        let dash = Path::new("-");
        let path = self.json.as_deref().filter(|path| *path != dash);
        // Before minutes are spent on what cannot be written.
        let file = path.map(|path| File::create(path).map_err(unwritten(path))).transpose()?;
        let report = self.report()?;
        if let (Some(mut file), Some(path)) = (file, path) {
            writeln!(file, "{}", report.json()).map_err(unwritten(path))?;
        }
        match self.json.as_deref() == Some(dash) {
            true => print(&format!("{}\n", report.json())),
            false => print(&report.to_string()),
        }
    }

    fn report(&self) -> Result<Report, Failure> {
        let opened = self.model.open()?;
        let detail = if self.layers { Detail::Nodes } else { Detail::Kinds };
        let workload = Workload {
            prompts: self.prompt.clone(),
            output: self.output,
            depths: self.depth.clone(),
            sequences: self.concurrency.clone(),
            rounds: self.rounds,
            ops: self.ops.then_some(detail),
        };
        let bar = Bar::counting(format!("timing {}", opened.name()), "rounds");
        let builder = self.device.builder(opened);
        Ok(builder.bench(&workload, &mut |progress| bar.show(progress.done, progress.total))?)
    }
}

/// The failure of writing a file.
fn unwritten(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Write { path: path.clone(), error }
}

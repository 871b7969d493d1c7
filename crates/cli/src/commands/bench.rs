//! `bench`: how fast a model runs, and where the time goes.

mod requests;

use std::path::PathBuf;

use clap::{Args, value_parser};
use polysilicon::Device;
use polysilicon::bench::{Detail, Report, Workload};
use serde_json::json;

use self::requests::RequestArgs;
use crate::args::{HowArgs, ModelArgs};
use crate::built::program;
use crate::failure::Failure;
use crate::output::{Sink, print};
use crate::prices::PriceArgs;
use crate::progress::Bar;
use crate::reports::ReportArgs;

#[derive(Args)]
#[command(
    after_help = "Steps are timed alone, each figure the median of its rounds beside what memory gave while they ran. Where anything \
                  is asked that only requests can tell (a price, a limit of latency, a rate, a page), the model serves requests \
                  instead, of the first --prompt and of --output tokens, --concurrency at a time. What was measured while others took more than \
                  --noise of the processors' time, while heat slowed them down, or above its physical bound is no result, and the reason is told.\n\n\
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
    /// auto, cpu, cuda[:N], neuron[:N], reference or candle; several separated by commas serve requests, for one table
    #[arg(
        long,
        value_name = "DEVICE",
        value_delimiter = ',',
        default_value = "auto",
        help_heading = "Device"
    )]
    device: Vec<Device>,
    #[command(flatten)]
    how: HowArgs,
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
        let asked = self.requests.are_asked() || self.report.is_asked() || self.price.is_asked();
        if asked || self.device.len() > 1 {
            return self.serve();
        }
        let sink = self.json.as_deref().map(Sink::open).transpose()?;
        let detail = if self.layers { Detail::Nodes } else { Detail::Kinds };
        let workload = Workload {
            prompts: self.prompt.clone(),
            output: self.output,
            depths: self.depth.clone(),
            sequences: self.concurrency.clone(),
            rounds: self.rounds,
            ops: self.ops.then_some(detail),
        };
        let report = self.time(self.device.first().copied().unwrap_or_default(), &workload)?;
        let printed = sink.as_ref().is_some_and(Sink::is_printed);
        let mut json = report.json();
        json["noise"] = json!(self.report.noise());
        json["program"] = program();
        sink.map_or(Ok(()), |sink| sink.write(&format!("{json}\n")))?;
        if printed { Ok(()) } else { print(&report.to_string()) }
    }

    fn time(&self, device: Device, workload: &Workload) -> Result<Report, Failure> {
        let opened = self.model.open()?;
        let bar = Bar::counting(format!("timing {}", opened.name()), "rounds");
        let builder = self.how.builder(opened, device);
        let mut report = builder.bench(workload, &mut |progress| bar.show(progress.done, progress.total))?;
        report.judge(self.report.noise());
        Ok(report)
    }
}

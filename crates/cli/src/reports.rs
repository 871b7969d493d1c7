//! Where results go: a table, and files.

use std::path::{Path, PathBuf};

use clap::Args;
use polysilicon::cost::Catalogue;
use polysilicon::cost::report::{Report, Terms};
use polysilicon::cost::results::{Results, SCHEMA, Slo, TAKEN};
use serde_json::{Value, json};

use crate::commands::parse_share;
use crate::failure::Failure;
use crate::output::{Sink, print};
use crate::prices::{Known, PlanArgs, today};

/// What results are held against, and where they go.
#[derive(Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Count answers within limits of latency: mlperf-server, mlperf-interactive (with :MODEL), or milliseconds to the first
    /// token and per token, as 500/30
    #[arg(long, value_name = "NAME")]
    slo: Option<Slo>,
    /// The share of paid hours in which there is so much to do [default: 1]
    #[arg(long, value_name = "F", value_parser = parse_share)]
    utilisation: Option<f64>,
    /// Tell what was measured although other programs or other machines took up to this share of the processors' time; beyond it
    /// there is no result
    #[arg(long, value_name = "F", value_parser = parse_share, default_value_t = TAKEN)]
    noise: f64,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a line for each load to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write each request as a JSON object a line to this file
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    #[command(flatten)]
    plans: PlanArgs,
}

/// What is to be written, open.
pub struct Files {
    json: Option<Sink>,
    html: Option<Sink>,
    csv: Option<Sink>,
    jsonl: Option<Sink>,
}

impl ReportArgs {
    /// Whether anything here is asked for.
    pub fn is_asked(&self) -> bool {
        let files = [&self.html, &self.csv, &self.jsonl];
        let asked = self.slo.is_some() || self.utilisation.is_some() || self.plans.is_asked();
        asked || files.iter().any(|file| file.is_some())
    }

    /// Whether a page is asked for.
    pub fn has_page(&self) -> bool {
        self.html.is_some()
    }

    /// Opens what is to be written, before minutes are spent on what cannot be.
    pub fn open(&self, json: Option<&Path>) -> Result<Files, Failure> {
        let open = |path: Option<&Path>| path.map(Sink::open).transpose();
        Ok(Files {
            json: open(json)?,
            html: open(self.html.as_deref())?,
            csv: open(self.csv.as_deref())?,
            jsonl: open(self.jsonl.as_deref())?,
        })
    }

    /// The share of the processors' time that others may have taken.
    pub fn noise(&self) -> f64 {
        self.noise
    }

    fn utilisation(&self) -> f64 {
        self.utilisation.unwrap_or(1.0)
    }

    /// The report of results under prices.
    fn report<'a>(
        &'a self,
        catalogue: &'a Catalogue,
        devices: &[(&'a Results, Option<&'a Known>)],
    ) -> Result<Report<'a>, Failure> {
        let priced = devices.iter().map(|&(results, known)| (results, known.map(|known| &known.price)));
        let priced = priced.collect::<Vec<_>>();
        // The hour that plans go by is all devices'.
        let mut hours = priced.iter().map(|(_, price)| *price);
        let first = hours.next().flatten();
        let hour = first.filter(|first| hours.all(|other| other.is_some_and(|other| other == *first)));
        let terms = Terms {
            catalogue,
            utilisation: self.utilisation(),
            slo: self.slo.as_ref(),
            taken: self.noise,
            plans: self.plans.plans(catalogue, hour)?,
            tokens_per_month: self.plans.tokens_per_month(),
            today: today(),
        };
        Ok(Report::new(priced, terms))
    }
}

impl Files {
    /// Prints and writes results under prices.
    pub fn write(
        self,
        args: &ReportArgs,
        catalogue: &Catalogue,
        devices: &[(&Results, Option<&Known>)],
    ) -> Result<(), Failure> {
        let report = args.report(catalogue, devices)?;
        let Files { json, html, csv, jsonl } = self;
        let printed = [&json, &html, &csv, &jsonl].into_iter().flatten().any(Sink::is_printed);
        let write =
            |sink: Option<Sink>, text: &dyn Fn() -> String| sink.map_or(Ok(()), |sink| sink.write(&text()));
        write(json, &|| format!("{}\n", value(args, devices, &report)))?;
        write(html, &|| report.html())?;
        write(csv, &|| report.csv())?;
        let line = |line| serde_json::to_string(&line).unwrap_or_default() + "\n";
        write(jsonl, &|| report.requests().map(line).collect())?;
        if printed { Ok(()) } else { print(&report.text()) }
    }
}

/// Results, what they come to, and under which prices.
fn value(args: &ReportArgs, devices: &[(&Results, Option<&Known>)], report: &Report<'_>) -> Value {
    let device = |(place, (results, known)): (usize, &(&Results, Option<&Known>))| {
        json!({
            "device": results.setup.device,
            "price": known.map(Known::report),
            "points": report.summaries(place),
        })
    };
    json!({
        "schema": SCHEMA,
        "verdict": report.verdict(),
        "utilisation": args.utilisation(),
        "noise": args.noise,
        "slo": args.slo.as_ref().map(ToString::to_string),
        "plans": report.plans(),
        "summaries": devices.iter().enumerate().map(device).collect::<Vec<_>>(),
        "results": devices.iter().map(|(results, _)| results).collect::<Vec<_>>(),
    })
}

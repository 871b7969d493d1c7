//! Where results go: a table, and files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use polysilicon::Error;
use polysilicon::cost::Catalogue;
use polysilicon::cost::report::Report;
use polysilicon::cost::results::{Question, Results, SCHEMA, Slo};
use serde_json::{Value, json};

use crate::commands::parse_share;
use crate::failure::Failure;
use crate::output::print;
use crate::prices::{Known, today};

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
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a line for each load to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write each request as a JSON object a line to this file
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
}

/// Files that are open to be written.
pub struct Files {
    json: Option<(PathBuf, File)>,
    html: Option<(PathBuf, File)>,
    csv: Option<(PathBuf, File)>,
    jsonl: Option<(PathBuf, File)>,
    /// Whether JSON goes in place of the table.
    printed: bool,
}

impl ReportArgs {
    /// Whether anything here is asked for.
    pub fn is_asked(&self) -> bool {
        let files = [&self.html, &self.csv, &self.jsonl];
        self.slo.is_some() || self.utilisation.is_some() || files.iter().any(|file| file.is_some())
    }

    /// Opens what is to be written.
    pub fn open(&self, json: Option<&Path>) -> Result<Files, Failure> {
        let dash = Path::new("-");
        let open = |path: Option<&Path>| match path {
            Some(path) => {
                File::create(path).map(|file| Some((path.to_owned(), file))).map_err(unwritten(path))
            }
            None => Ok(None),
        };
        Ok(Files {
            json: open(json.filter(|path| *path != dash))?,
            html: open(self.html.as_deref())?,
            csv: open(self.csv.as_deref())?,
            jsonl: open(self.jsonl.as_deref())?,
            printed: json == Some(dash),
        })
    }

    fn utilisation(&self) -> f64 {
        self.utilisation.unwrap_or(1.0)
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
        let model = devices.first().map_or("", |(results, _)| &results.setup.model);
        let report = Report {
            devices: devices
                .iter()
                .map(|(results, known)| (*results, known.map(|known| known.price.clone())))
                .collect(),
            utilisation: args.utilisation(),
            slo: args.slo.as_ref(),
            apis: catalogue.apis(model),
            today: today(),
        };
        let value = value(args, devices, &report.verdict());
        write(self.json, || format!("{value}\n"))?;
        write(self.html, || report.html())?;
        write(self.csv, || report.csv())?;
        let line = |line| serde_json::to_string(&line).unwrap_or_default() + "\n";
        write(self.jsonl, || report.requests().map(line).collect())?;
        if self.printed { print(&format!("{value}\n")) } else { print(&report.text()) }
    }
}

/// Results, what they come to, and under which prices.
fn value(args: &ReportArgs, devices: &[(&Results, Option<&Known>)], verdict: &str) -> Value {
    let device = |(results, known): &(&Results, Option<&Known>)| {
        let price = known.map(|known| &known.price);
        let question = Question { price, utilisation: args.utilisation(), slo: args.slo.as_ref() };
        json!({
            "device": results.setup.device,
            "price": known.map(Known::report),
            "points": results.summaries(&question),
        })
    };
    json!({
        "schema": SCHEMA,
        "verdict": verdict,
        "utilisation": args.utilisation(),
        "slo": args.slo.as_ref().map(ToString::to_string),
        "summaries": devices.iter().map(device).collect::<Vec<_>>(),
        "results": devices.iter().map(|(results, _)| results).collect::<Vec<_>>(),
    })
}

fn write(file: Option<(PathBuf, File)>, text: impl FnOnce() -> String) -> Result<(), Failure> {
    match file {
        Some((path, mut file)) => Ok(file.write_all(text().as_bytes()).map_err(unwritten(&path))?),
        None => Ok(()),
    }
}

/// The failure of writing a file.
fn unwritten(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Write { path: path.clone(), error }
}

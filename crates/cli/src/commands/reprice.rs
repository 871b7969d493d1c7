//! `reprice`: recorded results under other prices. Nothing is run.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use polysilicon::cost::results::{Results, SCHEMA};
use polysilicon::{Device, Error};
use serde_json::Value;

use crate::failure::Failure;
use crate::prices::PriceArgs;
use crate::reports::ReportArgs;

/// The most bytes of a file of results.
const BYTES_MAX: u64 = 1 << 30;

#[derive(Args)]
#[command(
    after_help = "Example: polysilicon reprice results.json --price c7a.48xlarge:on_demand --utilisation 0.3 --html report.html"
)]
pub struct Reprice {
    /// What `polysilicon bench --json FILE` has written
    #[arg(value_name = "RESULT")]
    results: PathBuf,
    /// Write the results under these prices as one JSON object to this file; - prints it in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    price: PriceArgs,
}

impl Reprice {
    /// Reads, prices, reports.
    pub fn execute(self) -> Result<(), Failure> {
        let results = self.read()?;
        let catalogue = self.price.catalogue()?;
        let files = self.report.open(self.json.as_deref())?;
        let priced = results.iter().map(|results| {
            // What the machine was rented for nobody knows here, unless it is told.
            let known = match self.price.is_named() {
                true => self.price.known(&catalogue, Device::Auto)?,
                false => None,
            };
            Ok((results, known))
        });
        let priced = priced.collect::<Result<Vec<_>, Failure>>()?;
        let devices = priced.iter().map(|(results, known)| (*results, known.as_ref())).collect::<Vec<_>>();
        files.write(&self.report, &catalogue, &devices)
    }

    fn read(&self) -> Result<Vec<Results>, Failure> {
        let fail = |error| Error::File { path: self.results.clone(), error };
        let mut text = String::new();
        File::open(&self.results)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(fail)?;
        let wrong = |reason: String| fail(io::Error::other(reason));
        let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if value.get("schema").and_then(Value::as_u64) != Some(u64::from(SCHEMA)) {
            let sentence =
                format!("it is no result of `polysilicon bench` with requests, of schema {SCHEMA}");
            return Err(wrong(sentence).into());
        }
        let results = value.get("results").cloned().unwrap_or_default();
        Ok(serde_json::from_value(results).map_err(|error| wrong(error.to_string()))?)
    }
}

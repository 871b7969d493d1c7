//! `reprice`: recorded results under other prices. Nothing is run.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use polysilicon::cost::results::{Results, read};
use polysilicon::{Device, Error};

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
    /// What `polysilicon bench --json FILE` has written, profile_export.jsonl of AIPerf, or benchmarks.json of GuideLLM
    #[arg(value_name = "RESULT")]
    results: PathBuf,
    /// What the model is called, where the file does not say: by that name prices of APIs are found
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
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
        // What the machine was rented for nobody knows here, unless it is told.
        let known = match self.price.is_named() {
            true => self.price.known_each(&catalogue, &vec![Device::Auto; results.len()])?,
            false => vec![None; results.len()],
        };
        let priced = results.iter().zip(&known).collect::<Vec<_>>();
        let devices = priced.iter().map(|(results, known)| (*results, known.as_ref())).collect::<Vec<_>>();
        files.write(&self.report, &catalogue, &devices)
    }

    fn read(&self) -> Result<Vec<Results>, Failure> {
        let fail = |error| Error::File { path: self.results.clone(), error };
        let mut text = String::new();
        File::open(&self.results)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(fail)?;
        Ok(read(&self.results.display().to_string(), &text, self.model.as_deref())?)
    }
}

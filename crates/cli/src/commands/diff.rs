//! `diff`: the first value in which two devices differ.

use std::process::ExitCode;

use clap::Args;
use polysilicon::{Device, TOLERANCE, diff};

use crate::failure::Failure;
use crate::output::print;
use crate::units::parse_id;

#[derive(Args)]
#[command(after_help = "Ends with status 1 where the devices differ.\n\n\
                  Example: polysilicon diff path/to/model --a candle --b reference --ids 1,2,3")]
pub struct Diff {
    /// The model, as `run` takes it
    #[arg(default_value = "embedded")]
    model: String,
    /// The device in question
    #[arg(long, value_name = "DEVICE")]
    a: Device,
    /// The device to hold it against
    #[arg(long, value_name = "DEVICE")]
    b: Device,
    /// The token ids of the prompt, e.g. 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = parse_id, required = true)]
    ids: Vec<u32>,
    /// The largest normalised squared error of a value that passes
    #[arg(long, value_name = "F", default_value_t = TOLERANCE)]
    tolerance: f64,
}

impl Diff {
    /// Compares, and says in the exit status whether they agree.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let found = diff(&self.model, self.a, self.b, &self.ids, self.tolerance)?;
        print(&format!("{found}\n"))?;
        Ok(if found.first.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

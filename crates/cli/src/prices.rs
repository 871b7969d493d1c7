//! The catalogue that commands look prices up in, and what day it is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use polysilicon::Error;
use polysilicon::cost::{Catalogue, CostError, Date};

use crate::failure::Failure;

/// Names files of prices, separated as paths are.
const VARIABLE: &str = "POLYSILICON_PRICES";

/// The most bytes of a file of prices that are read.
const BYTES_MAX: u64 = 5 << 20;

/// Files of prices over those that the program knows.
#[derive(Args)]
pub struct CatalogueArgs {
    /// Lay the chips, instances, prices and plans of this file over those known; may be given several times, and
    /// POLYSILICON_PRICES names such files too
    #[arg(long, value_name = "FILE")]
    prices: Vec<PathBuf>,
}

impl CatalogueArgs {
    /// What is known, the user's own over the program's.
    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        let mut catalogue = Catalogue::built_in()?;
        let variable = std::env::var_os(VARIABLE).unwrap_or_default();
        let named = std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty());
        for path in named.chain(self.prices.iter().cloned()) {
            catalogue.lay_over(&path.display().to_string(), &read(&path)?)?;
        }
        Ok(catalogue)
    }
}

/// Today.
pub fn today() -> Date {
    Date::of(SystemTime::now())
}

fn read(path: &Path) -> Result<String, Failure> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let mut bytes = vec![];
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(fail)?;
    let not_text = || CostError::Word(format!("{} is not text in UTF-8", path.display()));
    Ok(String::from_utf8(bytes).map_err(|_| not_text())?)
}

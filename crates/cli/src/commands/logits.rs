//! `logits`: the logits of every position, in a file.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::output::note;
use crate::units::parse_id;

#[derive(Args)]
#[command(
    after_help = "The file holds one f32 tensor, `logits`, a row of the vocabulary's size for each id.\n\n\
                  Example: polysilicon logits path/to/model --ids 1,2,3 --out logits.safetensors"
)]
pub struct Logits {
    /// The token ids of the prompt, e.g. 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = parse_id, required = true)]
    ids: Vec<u32>,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Logits {
    /// Computes and writes them.
    pub fn execute(self) -> Result<(), Failure> {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if real(&self.out).is_some_and(|out| real(Path::new(&self.model.model)) == Some(out)) {
            return Err(Failure::Usage("--out names the model itself; name another file".to_owned()));
        }
        let model = self.device.builder(self.model.open()?).ids_only().load()?;
        model.logits(&self.ids)?.save(&self.out)?;
        let random = if model.is_random() { "; the weights are random, so they mean nothing" } else { "" };
        let (rows, file) = (self.ids.len(), self.out.display());
        note(&format!("logits of {rows} positions are in {file}, made on {}{random}", model.device()));
        Ok(())
    }
}

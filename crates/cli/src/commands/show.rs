//! `show`: the graph as text.

use clap::{Args, ValueEnum};

use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::output::print;

#[derive(Args)]
#[command(after_help = "Example: polysilicon show shape:gpt-oss-20b@mxfp4 --stage expand --context 4096")]
pub struct Show {
    /// build: as the model describes it; fuse: bound to one token at the end of the context and operations joined;
    /// expand: bound and written out in core operations; plan: what the device runs for that token, kernel by kernel,
    /// with the bytes it moves from and to memory and within caches, its operations, and the time that takes at best;
    /// hlo: the module that is compiled for that token, with --device neuron
    #[arg(long, value_name = "STAGE", default_value = "build")]
    stage: Stage,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stage {
    Build,
    Fuse,
    Expand,
    Plan,
    Hlo,
}

impl Show {
    /// Prints it.
    pub fn execute(self) -> Result<(), Failure> {
        let stage = match self.stage {
            Stage::Build => polysilicon::Stage::Build,
            Stage::Fuse => polysilicon::Stage::Fuse,
            Stage::Expand => polysilicon::Stage::Expand,
            Stage::Plan => polysilicon::Stage::Plan,
            Stage::Hlo => polysilicon::Stage::Hlo,
        };
        print(&self.device.builder(self.model.open()?).show(stage)?)
    }
}

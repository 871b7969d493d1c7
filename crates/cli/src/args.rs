//! Arguments that several commands take.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum, value_parser};
use polysilicon::hub::{self, Hub};
use polysilicon::{Builder, DType, Device, Error, Model, Opened, Target};

use crate::progress::Bar;
use crate::units::parse_bytes;

/// Which model.
#[derive(Args)]
pub struct ModelArgs {
    /// A Hugging Face folder, a .gguf file, a hub id (org/name), shape:NAME[@TYPE] for random weights of a known
    /// shape, or the tiny model inside this program
    #[arg(value_name = "MODEL", default_value = ModelArgs::EMBEDDED)]
    pub model: String,
    /// Change the weights to this type as they are loaded, e.g. q8_0 or q4_k_m
    #[arg(long, value_name = "TYPE")]
    pub quantize: Option<Target>,
    /// Download a hub id that the local cache does not hold
    #[arg(long)]
    pub download: bool,
}

/// Where and how the model runs.
#[derive(Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// auto, cpu, cuda[:N], neuron[:N], reference or candle
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    #[command(flatten)]
    how: HowArgs,
}

/// How the model runs, wherever.
#[derive(Args)]
#[command(next_help_heading = "Device")]
pub struct HowArgs {
    /// Threads to work with [default: one per core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub threads: Option<usize>,
    /// Bytes for weights, keys and values and work space, e.g. 8GiB [default: what is available]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// The most tokens of prompt and answer together [default: what the model declares and memory allows]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// Keep keys and values in f16, bf16 or q8_0 [default: the device's own choice]
    #[arg(long, value_name = "TYPE")]
    kv: Option<DType>,
    /// Rounding of activations for products: auto takes what the device multiplies fastest with the weights' type, f32
    /// rounds nothing
    #[arg(long, value_name = "WORD", default_value = "auto")]
    precision: Precision,
    /// Give the same bits of an answer whatever else runs: the CPU does so always, GPUs where they are asked to,
    /// at a price
    #[arg(long)]
    batch_invariant: bool,
    /// GPUs, or Neuron cores, that run the model together, each with its part of the weights: from the device's number on
    /// [default: 1, or the bundle's]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1024))]
    tp: Option<u32>,
    /// Take the programs of Neuron cores from this folder, which `compile` wrote, and compile nothing
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
}

/// How activations are rounded for products.
#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    Auto,
    F32,
}

impl From<Precision> for polysilicon::Precision {
    fn from(word: Precision) -> polysilicon::Precision {
        match word {
            Precision::Auto => polysilicon::Precision::Auto,
            Precision::F32 => polysilicon::Precision::F32,
        }
    }
}

impl ModelArgs {
    /// What the model inside the program is called.
    pub const EMBEDDED: &str = "embedded";

    /// Whether this is the model inside the program.
    pub fn is_embedded(&self) -> bool {
        self.model == ModelArgs::EMBEDDED
    }

    /// Finds the model, downloading it first where that was asked for.
    pub fn open(&self) -> Result<Opened, Error> {
        if self.download && hub::is_id(&self.model) && !std::path::Path::new(&self.model).exists() {
            self.download_missing()?;
        }
        Opened::find(&self.model, self.quantize)
    }

    fn download_missing(&self) -> Result<(), Error> {
        let hub = Hub::from_env();
        if hub.cached(&self.model)?.is_some() {
            return Ok(());
        }
        let mut current: Option<(String, Bar)> = None;
        hub.download(&self.model, &mut |file, done, total| {
            let (_, bar) = match current.take().filter(|(name, _)| name == file) {
                Some(same) => current.insert(same),
                None => current.insert((file.to_owned(), Bar::new(file.to_owned()))),
            };
            bar.show(done, total);
        })?;
        Ok(())
    }
}

impl DeviceArgs {
    /// The choices for a model that was found.
    pub fn builder(&self, opened: Opened) -> Builder {
        self.how.builder(opened, self.device)
    }

    /// Loads a model that was found.
    pub fn load(&self, opened: Opened) -> Result<Model, Error> {
        self.builder(opened).load()
    }
}

impl HowArgs {
    /// The choices for a model that was found, on a device.
    pub fn builder(&self, opened: Opened, device: Device) -> Builder {
        let bar = Bar::new(format!("loading {}", opened.name()));
        let builder = Builder::from(opened).device(device).precision(self.precision.into());
        // Most commands ask one thing at a time.
        let mut builder = builder.sequences(1).batch_invariant(self.batch_invariant);
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        if let Some(bytes) = self.memory {
            builder = builder.memory(bytes);
        }
        if let Some(tokens) = self.context {
            builder = builder.context(tokens);
        }
        if let Some(dtype) = self.kv {
            builder = builder.kv(dtype);
        }
        if let Some(ranks) = self.tp {
            builder = builder.ranks(ranks);
        }
        if let Some(folder) = &self.bundle {
            builder = builder.bundle(folder.clone());
        }
        let kernels = Bar::counting("compiling".to_owned(), "kernels");
        let builder = builder.on_kernels(move |progress| kernels.show(progress.done, progress.total));
        builder.on_progress(move |progress| bar.show(progress.done, progress.total))
    }
}

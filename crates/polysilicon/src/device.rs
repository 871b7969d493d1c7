//! Devices by name, and which of them are here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cost::{Catalogue, Price};
use cpu::Precision;
use cpu::measure::available_memory;
use graph::{Backend, Caps};

/// What was measured of this machine: see [`measure_devices`].
pub use cpu::measure::{
    Bound, Gauge, Limits, Measured, Node as MemoryNode, Progress as Measuring, Rates, Unit,
};

use crate::{Error, neuron_chips};

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Device {
    /// The best one present.
    #[default]
    Auto,
    /// The CPU, with kernels of its own.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(u32),
    /// An AWS Neuron core.
    Neuron(u32),
    /// Plain loops: the meaning of every operation.
    Reference,
    /// candle's operations, where this build has them.
    Candle,
}

/// A device that is present.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// The name that selects it.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Bytes of memory it may use, where known.
    pub memory_bytes: Option<u64>,
    /// Types that keys and values may be kept in, the default first.
    pub kv: Vec<tensor::DType>,
    /// Whether `auto` selects it.
    pub auto: bool,
    /// Whether it is no device but an emulation of one, whose times are simulated.
    pub emulated: bool,
    /// This machine's processor, where the device runs on it.
    pub processor: Option<Processor>,
}

/// The processor of this machine.
#[derive(Clone, Debug)]
pub struct Processor {
    /// What its maker calls it.
    pub name: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Instructions that kernels may care for, by the names the maker gives them.
    pub features: Vec<&'static str>,
    /// Which cores are near which memory; none where the system does not say.
    pub nodes: Vec<MemoryNode>,
    /// Bandwidth and peaks, where they have been measured.
    pub measured: Option<Measured>,
}

/// The devices present, the best first. Measures nothing.
pub fn devices() -> Vec<DeviceInfo> {
    describe(cpu::measure::cached())
}

/// As [`devices`], with what they reach: measured in a few seconds, unless that was done before and is not to be done
/// `again`.
pub fn measure_devices(again: bool, tell: &mut dyn FnMut(Measuring)) -> Vec<DeviceInfo> {
    let kept = if again { None } else { cpu::measure::cached() };
    describe(Some(kept.unwrap_or_else(|| cpu::measure::measure(tell))))
}

fn describe(measured: Option<Measured>) -> Vec<DeviceInfo> {
    let processor = Processor {
        name: cpu::measure::name(),
        cores: cpu::measure::cores(),
        features: cpu::measure::features(),
        nodes: cpu::measure::nodes(),
        measured,
    };
    let info = |&device: &Device| {
        if let Device::Neuron(_) = device {
            return neuron_chips::look().ok().map(|seen| DeviceInfo::of_neuron(&seen));
        }
        let Caps { description, kv, memory_bytes, .. } =
            device.made(&Choices::default()).ok()?.caps().clone();
        let memory_bytes = memory_bytes.or_else(available_memory);
        let processor = device.runs_here().then(|| processor.clone());
        Some(DeviceInfo {
            name: device.to_string(),
            description,
            memory_bytes,
            kv,
            auto: device == Device::Auto.chosen(),
            emulated: false,
            processor,
        })
    };
    here().iter().filter_map(info).collect()
}

impl DeviceInfo {
    /// Neuron chips as they can be seen without starting them, which takes their cores from everybody else.
    fn of_neuron(seen: &::neuron::Seen) -> DeviceInfo {
        DeviceInfo {
            name: Device::Neuron(0).to_string(),
            description: neuron_chips::description(seen),
            memory_bytes: None,
            kv: ::neuron::KV.to_vec(),
            auto: false,
            emulated: seen.emulated,
            processor: None,
        }
    }
}

/// Every device of this build but GPUs, the best first. Neuron chips stand behind the CPU as long as nobody has run this
/// on one.
const BUILT: &[Device] = &[
    Device::Cpu,
    Device::Neuron(0),
    Device::Reference,
    #[cfg(feature = "candle")]
    Device::Candle,
];

/// Every device of this machine, the best first. GPUs come last until one of them has been measured: nobody gets one
/// without asking for it.
fn here() -> Vec<Device> {
    let gpus = cuda::find().unwrap_or_default();
    let built = BUILT.iter().copied().filter(|device| device.absent().is_none());
    built.chain(gpus.iter().map(|gpu| Device::Cuda(gpu.number))).collect()
}

/// How a device is to be used, where it leaves a choice.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Threads; one per core where `None`.
    pub threads: Option<usize>,
    /// How activations are rounded.
    pub precision: Precision,
    /// Whether a request's bits may not depend on what else runs, whatever that costs.
    pub batch_invariant: bool,
    /// GPUs or Neuron cores that run a model together; one where `None`.
    pub ranks: Option<u32>,
    /// A bundle that `compile` wrote, which Neuron cores take their programs from.
    pub bundle: Option<PathBuf>,
}

impl Device {
    /// The best one present.
    pub fn auto() -> Device {
        Device::Auto
    }

    /// What an hour of this machine would cost as a part of one that can be rented; `None` where the device is not this
    /// machine's processor.
    pub fn rented(self, catalogue: &Catalogue) -> Option<Price> {
        let found = || catalogue.host(&cpu::measure::name(), cpu::measure::cores());
        self.runs_here().then(found).flatten()
    }

    /// Whether it tells how long each of its kernels takes.
    pub fn tells_kernels(self) -> bool {
        self.chosen() == Device::Cpu
    }

    /// Whether this machine's processor does the work.
    pub fn runs_here(self) -> bool {
        matches!(self.chosen(), Device::Cpu | Device::Reference | Device::Candle)
    }

    /// The best device where nobody chose one.
    fn chosen(self) -> Device {
        if self == Device::Auto { BUILT[0] } else { self }
    }

    /// The backend for this device, or an error that says what was looked for and what there is.
    pub fn backend(self, choices: &Choices) -> Result<Box<dyn Backend>, Error> {
        let wanted = self.chosen();
        let looked = match wanted.absent() {
            None => return wanted.made(choices).and_then(|backend| wanted.checked(backend, choices)),
            Some(looked) => looked,
        };
        let present = here().iter().map(Device::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::NoDevice { device: self.to_string(), looked, present })
    }

    /// The backend, where it keeps what was asked of it.
    fn checked(self, backend: Box<dyn Backend>, choices: &Choices) -> Result<Box<dyn Backend>, Error> {
        if choices.batch_invariant && !backend.caps().batch_invariant {
            return Err(Error::Word(format!(
                "bits on {self} depend on what else runs; --batch-invariant goes with cpu, cuda and reference"
            )));
        }
        let together = matches!(self, Device::Cuda(_) | Device::Neuron(_));
        match choices.ranks {
            Some(ranks) if ranks > 1 && !together => Err(Error::Word(format!(
                "{self} computes alone; --tp {ranks} goes with --device cuda and --device neuron"
            ))),
            _ => Ok(backend),
        }
    }

    /// The backend of a device that is present.
    fn made(self, choices: &Choices) -> Result<Box<dyn Backend>, Error> {
        let Choices { threads, precision, .. } = *choices;
        Ok(match self {
            #[cfg(feature = "candle")]
            Device::Candle => Box::new(candle::Candle::new()),
            Device::Neuron(core) => neuron_chips::open(core, choices)?,
            Device::Reference => Box::new(reference::Reference::new()),
            Device::Cuda(number) => Box::new(gpus(number, choices)?),
            _ => Box::new(cpu::Cpu::new(&cpu::Options { threads, precision, isa: None })?),
        })
    }

    /// Where it is not here: what was looked for.
    fn absent(self) -> Option<String> {
        match self {
            Device::Neuron(_) => neuron_chips::look().err(),
            Device::Cuda(number) => missing_gpu(number),
            _ if BUILT.contains(&self) => None,
            Device::Candle => {
                Some("this build was made without it; build with `--features candle`".to_owned())
            }
            _ => Some("this build has no backend for it".to_owned()),
        }
    }
}

/// Why there is no GPU of this number, where there is none.
fn missing_gpu(number: u32) -> Option<String> {
    match cuda::find() {
        Err(reason) => Some(reason),
        Ok(gpus) if gpus.iter().any(|gpu| gpu.number == number) => None,
        Ok(gpus) => Some(format!("the driver knows {} GPUs, counted from 0", gpus.len())),
    }
}

/// A GPU, or as many as are to compute together, from it on.
fn gpus(first: u32, choices: &Choices) -> Result<cuda::Cuda, Error> {
    let ranks = choices.ranks.unwrap_or(1).max(1);
    // Those of one are missing by their own names.
    if ranks > 1 {
        let count = cuda::find().map_or(0, |gpus| gpus.len());
        too_many(first, ranks, count).map_or(Ok(()), |sentence| Err(Error::Word(sentence)))?;
    }
    let precision = match choices.precision {
        Precision::F32 => cuda::Precision::F32,
        _ => cuda::Precision::Bf16,
    };
    let early = std::env::var_os("POLYSILICON_CUDA_EARLY").is_some();
    let library = std::env::var_os("POLYSILICON_CUBLASLT").is_some();
    let invariant = choices.batch_invariant;
    let options = cuda::Options { precision, early, library, invariant, shared_bytes: 0 };
    Ok(cuda::Cuda::open(first, ranks, options)?)
}

/// Why so many GPUs cannot compute together from one on, of as many as there are.
fn too_many(first: u32, ranks: u32, count: usize) -> Option<String> {
    let left = count.saturating_sub(first as usize);
    (ranks as usize > left).then(|| {
        let most = if left > 1 { format!("--tp {left} at most") } else { "no --tp".to_owned() };
        format!("--tp {ranks} wants {ranks} GPUs from number {first} on, and the driver knows {count}, counted from 0; use {most}")
    })
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => write!(f, "auto"),
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(0) => write!(f, "cuda"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
            Device::Neuron(0) => write!(f, "neuron"),
            Device::Neuron(n) => write!(f, "neuron:{n}"),
            Device::Reference => write!(f, "reference"),
            Device::Candle => write!(f, "candle"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(word: &str) -> Result<Device, Error> {
        let (name, number) = word.split_once(':').map_or((word, None), |(name, n)| (name, Some(n)));
        let number = number.map_or(Ok(0), str::parse::<u32>);
        match (name, number) {
            ("auto", Ok(0)) => Ok(Device::Auto),
            ("cpu", Ok(0)) => Ok(Device::Cpu),
            ("cuda", Ok(n)) => Ok(Device::Cuda(n)),
            ("neuron", Ok(n)) => Ok(Device::Neuron(n)),
            ("reference", Ok(0)) => Ok(Device::Reference),
            ("candle", Ok(0)) => Ok(Device::Candle),
            _ => Err(Error::Word(format!(
                "`{word}` is no device; the devices are auto, cpu, cuda[:N], neuron[:N], reference and candle"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_ranks_than_gpus_are_refused_with_how_many_there_are() {
        assert_eq!(too_many(0, 2, 2), None);
        assert_eq!(too_many(2, 4, 8), None);
        let sentence = "--tp 8 wants 8 GPUs from number 2 on, and the driver knows 8, counted from 0; use --tp 6 at most";
        assert_eq!(too_many(2, 8, 8).as_deref(), Some(sentence));
        assert!(
            too_many(0, 2, 1)
                .is_some_and(|sentence| sentence.ends_with("knows 1, counted from 0; use no --tp"))
        );
    }
    #[test]
    fn ranks_are_refused_where_a_device_computes_alone() {
        let asked = |ranks| Choices { ranks, ..Choices::default() };
        for device in [Device::Cpu, Device::Auto, Device::Reference] {
            let refused = device.backend(&asked(Some(2))).err().map(|error| error.to_string());
            assert!(refused.is_some_and(|sentence| sentence.contains("computes alone; --tp 2 goes with")));
            assert!(device.backend(&asked(Some(1))).is_ok() && device.backend(&asked(None)).is_ok());
        }
    }
}

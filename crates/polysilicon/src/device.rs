//! Devices by name, and which of them are here.

use std::fmt;
use std::str::FromStr;

use graph::{Backend, Caps};

use crate::{Error, memory};

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
}

/// The devices present, the best first.
pub fn devices() -> Vec<DeviceInfo> {
    let describe = |(place, (device, backend)): (usize, (Device, Box<dyn Backend>))| {
        let Caps { description, kv, memory_bytes, .. } = backend.caps().clone();
        let memory_bytes = memory_bytes.or_else(memory::available);
        DeviceInfo { name: device.to_string(), description, memory_bytes, kv, auto: place == 0 }
    };
    present().into_iter().enumerate().map(describe).collect()
}

/// Every backend of this build whose device is here, the best first.
fn present() -> Vec<(Device, Box<dyn Backend>)> {
    vec![
        (Device::Reference, Box::new(reference::Reference::new())),
        #[cfg(feature = "candle")]
        (Device::Candle, Box::new(candle::Candle::new())),
    ]
}

impl Device {
    /// The best one present.
    pub fn auto() -> Device {
        Device::Auto
    }

    /// The backend for this device, or an error that says what was looked for and what there is.
    pub(crate) fn backend(self) -> Result<Box<dyn Backend>, Error> {
        let mut all = present();
        let place = all.iter().position(|(device, _)| self == Device::Auto || *device == self);
        match place {
            Some(place) => Ok(all.swap_remove(place).1),
            None => Err(Error::NoDevice {
                device: self.to_string(),
                looked: self.looked().to_owned(),
                present: all.iter().map(|(device, _)| device.to_string()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn looked(self) -> &'static str {
        match self {
            Device::Cpu => "its kernels are not in this build, and `reference` runs on the CPU, slowly",
            Device::Candle => "this build was made without it; build with `--features candle`",
            _ => "this build has no backend for it",
        }
    }
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

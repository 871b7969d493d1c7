//! What is emulated: the chip, how many, how much of each this process sees.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use crate::abi::{Code, INVALID};

/// Settings of the emulator. Each can be given as text under the name of its field.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The generation of the chips: trn1, inf2, trn2 or trn3.
    pub chip: Chip,
    /// How many chips the instance has.
    pub chips: u32,
    /// Bytes of a logical core's memory, where it is not what the chip has.
    pub memory: Option<usize>,
    /// The version of the runtime that is emulated.
    pub version: [u64; 4],
    /// Executions that a core queues before it is full.
    pub queue: usize,
    /// Whether executions wait, queued, until this is false again.
    pub held: bool,
    /// How long ranks wait for each other, in milliseconds.
    pub patience_ms: u64,
    /// Failures on demand: `function:status:skipped:times`, with commas between.
    pub fail: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            chip: Chip::Trn2,
            chips: 1,
            memory: None,
            version: [2, 34, 10, 0],
            queue: 16,
            held: false,
            patience_ms: 30_000,
            fail: String::new(),
        }
    }
}

const PREFIX: &str = "POLYSILICON_EMULATOR_";
const NAMES: [&str; 8] = ["chip", "chips", "memory", "version", "queue", "held", "patience_ms", "fail"];

impl Settings {
    /// Settings by the environment; a value that says nothing is an error.
    pub fn from_environment() -> Result<Settings, Code> {
        let mut settings = Settings::default();
        for name in NAMES {
            if let Ok(value) = env::var(format!("{PREFIX}{}", name.to_uppercase())) {
                settings.set(name, &value)?;
            }
        }
        Ok(settings)
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Code> {
        fn number<T: std::str::FromStr>(value: &str) -> Result<T, Code> {
            value.parse().map_err(|_| INVALID)
        }
        match name {
            "chip" => self.chip = Chip::of_name(value).ok_or(INVALID)?,
            "chips" => self.chips = number(value)?,
            "memory" => self.memory = Some(number(value)?),
            "version" => {
                let mut parts = value.split('.').map(number);
                for part in &mut self.version {
                    *part = parts.next().unwrap_or(Ok(0))?;
                }
            }
            "queue" => self.queue = number(value)?,
            "held" => self.held = number(value)?,
            "patience_ms" => self.patience_ms = number(value)?,
            "fail" => self.fail = value.to_owned(),
            _ => return Err(INVALID),
        }
        Ok(())
    }

    /// How long ranks wait for each other.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

/// A generation of chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Chip {
    Inf2,
    Trn1,
    Trn2,
    Trn3,
}

/// What AWS publishes of a chip (its pages on Neuron hardware).
pub struct Facts {
    pub name: &'static str,
    /// Numbers of the runtime's lists for the smallest instance.
    pub family: u32,
    pub size: u32,
    pub cores: u32,
    /// Cores in a logical core, by itself.
    pub logical: u32,
    pub memory: u64,
    pub bytes_per_s: f64,
    pub f32_per_s: f64,
    pub bf16_per_s: f64,
    pub f8_per_s: f64,
    /// Bytes per second between chips.
    pub link_bytes_per_s: f64,
}

const GIB: u64 = 1 << 30;

impl Chip {
    pub const ALL: [Chip; 4] = [Chip::Inf2, Chip::Trn1, Chip::Trn2, Chip::Trn3];

    pub const fn facts(self) -> Facts {
        let v2 = Facts {
            name: "trn1",
            family: 2,
            size: 1,
            cores: 2,
            logical: 1,
            memory: 32 * GIB,
            bytes_per_s: 820e9,
            f32_per_s: 47.5e12,
            bf16_per_s: 190e12,
            f8_per_s: 190e12,
            link_bytes_per_s: 384e9,
        };
        match self {
            Chip::Trn1 => v2,
            Chip::Inf2 => Facts { name: "inf2", family: 4, size: 0, link_bytes_per_s: 192e9, ..v2 },
            Chip::Trn2 => Facts {
                name: "trn2",
                family: 5,
                size: 8,
                cores: 8,
                logical: 2,
                memory: 96 * GIB,
                bytes_per_s: 2.9e12,
                f32_per_s: 181e12,
                bf16_per_s: 667e12,
                f8_per_s: 1299e12,
                link_bytes_per_s: 1.28e12,
            },
            Chip::Trn3 => Facts {
                name: "trn3",
                family: 14,
                size: 8,
                cores: 8,
                logical: 2,
                memory: 144 * GIB,
                bytes_per_s: 4.9e12,
                f32_per_s: 183e12,
                bf16_per_s: 671e12,
                f8_per_s: 2517e12,
                link_bytes_per_s: 2.56e12,
            },
        }
    }

    /// The chip of a target as neuronx-cc names it.
    pub fn of_name(name: &str) -> Option<Chip> {
        Chip::ALL.into_iter().find(|chip| chip.facts().name == name)
    }
}

/// What libnrt's own variables say.
pub struct Sight {
    /// Cores of the chip in a logical core.
    pub logical: u32,
    /// Logical cores of the instance.
    pub total: u32,
    /// Those this process sees, by the instance's numbers.
    pub visible: Vec<u32>,
}

impl Sight {
    /// Reads the environment. Cores that are not there, twice the same, or what is no number, are `NRT_INVALID`.
    pub fn from_environment(settings: &Settings) -> Result<Sight, Code> {
        let facts = settings.chip.facts();
        let logical = match env::var("NEURON_LOGICAL_NC_CONFIG") {
            Ok(text) => text.parse().ok().filter(|size| (1..=facts.logical).contains(size)).ok_or(INVALID)?,
            Err(_) => facts.logical,
        };
        let total = facts.cores * settings.chips / logical;
        let visible = match (env::var("NEURON_RT_VISIBLE_CORES"), env::var("NEURON_RT_NUM_CORES")) {
            (Ok(list), _) => cores(&list, total)?,
            (_, Ok(count)) => {
                let count: u32 = count.parse().map_err(|_| INVALID)?;
                (0..count).collect()
            }
            _ => (0..total).collect(),
        };
        let there = !visible.is_empty() && visible.iter().all(|&core| core < total);
        if there { Ok(Sight { logical, total, visible }) } else { Err(INVALID) }
    }
}

/// A list of cores and ranges of them: `0-3,8`.
fn cores(list: &str, total: u32) -> Result<Vec<u32>, Code> {
    let mut seen = BTreeMap::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&core| core < total).ok_or(INVALID);
        for core in number(first)?..=number(last)? {
            if seen.insert(core, ()).is_some() {
                return Err(INVALID);
            }
        }
    }
    Ok(seen.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_numbers_and_ranges() {
        assert_eq!(cores("0-2,4", 8), Ok(vec![0, 1, 2, 4]));
        for wrong in ["", "8", "1,1", "0-2,1", "x", "-1", "0-99999999"] {
            assert_eq!(cores(wrong, 8), Err(INVALID), "{wrong}");
        }
    }

    #[test]
    fn settings_are_text() {
        let mut settings = Settings::default();
        settings.set("version", "2.30").unwrap();
        settings.set("chip", "trn3").unwrap();
        assert_eq!((settings.version, settings.chip), ([2, 30, 0, 0], Chip::Trn3));
        for (name, value) in [("chip", "h100"), ("memory", "-1"), ("colour", "red"), ("version", "two")] {
            assert_eq!(settings.set(name, value), Err(INVALID), "{name}={value}");
        }
    }
}

//! The machine's own counters of energy: RAPL of its processors, where the system shows them and lets us read, and those of
//! NVIDIA's GPUs. Virtual machines seldom have the former. Where there are none, energy is not told: a power rating times a time is
//! no measurement.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Device;

/// Where Linux shows them, for AMD's processors too.
const FOLDER: &str = "/sys/class/powercap";

/// What counts the energy of a device.
pub(crate) enum Meter {
    /// This machine's processors.
    Processors(Counters),
    /// GPUs, and the joules that each told last.
    Gpus(Vec<(cuda::Energy, f64)>),
}

impl Meter {
    /// The counters of a device, or of so many from it on; `None` where one of them has none that can be read.
    pub fn of(device: Device, ranks: u32) -> Option<Meter> {
        match device {
            Device::Cuda(first) => {
                let gpu = |number| {
                    let energy = cuda::Energy::open(number)?;
                    let joules = energy.joules()?;
                    Some((energy, joules))
                };
                (first..).take(ranks.max(1) as usize).map(gpu).collect::<Option<_>>().map(Meter::Gpus)
            }
            _ if device.runs_here() => Counters::open().map(Meter::Processors),
            _ => None,
        }
    }

    /// Joules since they were read last; `None` where they can no longer be read.
    pub fn since(&mut self) -> Option<f64> {
        match self {
            Meter::Processors(counters) => counters.since(),
            Meter::Gpus(gpus) => {
                let since = |(energy, last): &mut (cuda::Energy, f64)| {
                    let joules = energy.joules()?;
                    // It begins again when the driver is loaded again.
                    Some((joules - std::mem::replace(last, joules)).max(0.0))
                };
                gpus.iter_mut().map(since).sum()
            }
        }
    }
}

/// Counters of all sockets.
pub(crate) struct Counters(Vec<Counter>);

/// A counter of microjoules, which begins again at its range.
struct Counter {
    file: PathBuf,
    range: u64,
    last: u64,
}

impl Counters {
    /// The counters of this machine; `None` where one of its sockets has none.
    fn open() -> Option<Counters> {
        Counters::within(Path::new(FOLDER))
    }

    fn within(folder: &Path) -> Option<Counters> {
        let sockets = fs::read_dir(folder).ok()?.filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix("intel-rapl:")?.to_owned();
            // `intel-rapl:0:1` is a part of `intel-rapl:0`.
            (!name.contains(':')).then_some(path)
        });
        let counters = sockets.map(|path| Counter::open(&path)).collect::<Option<Vec<_>>>()?;
        (!counters.is_empty()).then_some(Counters(counters))
    }

    /// Joules since they were read last; `None` where one can no longer be read.
    fn since(&mut self) -> Option<f64> {
        self.0.iter_mut().map(Counter::since).sum()
    }
}

impl Counter {
    fn open(folder: &Path) -> Option<Counter> {
        let file = folder.join("energy_uj");
        let (range, last) = (read(&folder.join("max_energy_range_uj"))?, read(&file)?);
        Some(Counter { file, range, last })
    }

    fn since(&mut self) -> Option<f64> {
        let now = read(&self.file)?;
        let moved =
            if now >= self.last { now - self.last } else { now + self.range.saturating_sub(self.last) };
        self.last = now;
        Some(moved as f64 / 1e6)
    }
}

fn read(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_summed_and_counters_begin_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |socket: &str, uj: u64| {
            let path = folder.path().join(socket);
            fs::create_dir_all(&path).expect("made");
            fs::write(path.join("energy_uj"), format!("{uj}\n")).expect("written");
            fs::write(path.join("max_energy_range_uj"), "1000000000\n").expect("written");
        };
        assert!(Counters::within(folder.path()).is_none(), "there are none");
        ["intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"]
            .iter()
            .for_each(|socket| write(socket, 999_000_000));
        let mut counters = Counters::within(folder.path()).expect("two sockets");
        write("intel-rapl:0", 999_500_000);
        write("intel-rapl:1", 1_000_000);
        write("intel-rapl:0:0", 0);
        assert_eq!(counters.since(), Some(0.5 + 2.0));
        fs::remove_dir_all(folder.path().join("intel-rapl:1")).expect("gone");
        assert_eq!(counters.since(), None);
    }
}

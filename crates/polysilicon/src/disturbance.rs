//! What stands in the way of a measurement on this machine: other programs, other machines on the same host, and heat. As
//! Linux counts it; elsewhere nothing is known.

use std::fs;

use cost::results::Disturbed;

/// How often each core was slowed down, one folder a core.
const CORES: &str = "/sys/devices/system/cpu";

/// Counts at the beginning of something that is measured.
pub(crate) struct Watch {
    machine: Option<Times>,
    own: Option<u64>,
    throttled: Option<u64>,
}

/// Ticks of all processors since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Watch {
    pub fn start() -> Watch {
        Watch { machine: machine(), own: own(), throttled: throttled() }
    }

    /// What has stood in the way since then.
    pub fn end(&self) -> Disturbed {
        let shares = self.machine.zip(machine()).and_then(|(before, after)| {
            let own = own()?.saturating_sub(self.own?);
            shares(before, after, own)
        });
        let throttled = throttled().zip(self.throttled).map(|(after, before)| after.saturating_sub(before));
        Disturbed {
            others: shares.map(|[others, _]| others),
            stolen: shares.map(|[_, stolen]| stolen),
            throttled,
        }
    }
}

/// Shares of all processors' time that others took beyond what was idle anyway, and that was stolen.
fn shares(before: Times, after: Times, own: u64) -> Option<[f64; 2]> {
    let since = |of: &dyn Fn(&Times) -> u64| of(&after).saturating_sub(of(&before)) as f64;
    let (busy, idle, stolen) = (since(&|t| t.busy), since(&|t| t.idle), since(&|t| t.stolen));
    let all = busy + idle + stolen;
    // A few ticks say nothing.
    (all >= 50.0).then(|| [(busy - own as f64 - idle).max(0.0) / all, stolen / all])
}

fn machine() -> Option<Times> {
    Times::of(&fs::read_to_string("/proc/stat").ok()?)
}

impl Times {
    /// From the line `cpu user nice system idle iowait irq softirq steal`.
    fn of(text: &str) -> Option<Times> {
        let mut words = text.lines().next()?.split_whitespace();
        (words.next()? == "cpu").then_some(())?;
        let ticks = words.take(8).map(|word| word.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        let [user, nice, system, idle, wait, irq, soft, stolen] = ticks.try_into().ok()?;
        Some(Times { busy: user + nice + system + irq + soft, idle: idle + wait, stolen })
    }
}

/// Ticks of this program.
fn own() -> Option<u64> {
    own_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The twelfth and thirteenth word behind the name, which may hold anything but ends with the last bracket.
fn own_of(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(|word| word.parse::<u64>().ok());
    Some(ticks.next()?? + ticks.next()??)
}

/// Where processors count it: those of virtual machines seldom do.
fn throttled() -> Option<u64> {
    let cores = fs::read_dir(CORES).ok()?.filter_map(Result::ok);
    let count = |folder: fs::DirEntry| {
        let file = folder.path().join("thermal_throttle/core_throttle_count");
        fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    };
    cores.filter_map(count).reduce(|sum, times| sum + times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        let text = "cpu  100 20 30 400 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(Times::of(text), Some(Times { busy: 163, idle: 405, stolen: 8 }));
        for wrong in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu a b c d e f g h"] {
            assert_eq!(Times::of(wrong), None, "{wrong}");
        }
        let stat = "12 (a ) name) R 1 12 12 0 -1 4194304 100 0 0 0 250 40 0 0 20 0 1 0 99 0 0";
        assert_eq!(own_of(stat), Some(290));
        assert_eq!(own_of("12 (a) R 1"), None);
    }

    #[test]
    fn others_disturb_where_nothing_is_idle() {
        let before = Times { busy: 0, idle: 0, stolen: 0 };
        let after = |busy, idle, stolen| Times { busy, idle, stolen };
        // Half is ours, half is theirs.
        assert_eq!(shares(before, after(200, 0, 0), 100), Some([0.5, 0.0]));
        // They have taken what nobody wanted.
        assert_eq!(shares(before, after(150, 50, 0), 100), Some([0.0, 0.0]));
        assert_eq!(shares(before, after(150, 0, 50), 150), Some([0.0, 0.25]));
        assert_eq!(shares(before, after(20, 0, 0), 10), None, "too short");
    }
}

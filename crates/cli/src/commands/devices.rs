//! `devices`: what there is to run on, and how fast it is.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use polysilicon::cost::table;
use polysilicon::{DeviceInfo, Measured, Measuring, MemoryNode, Processor, Rates, measure_devices};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::{LEFT, print, print_json};
use crate::units::bytes;

#[derive(Args)]
#[command(
    after_help = "Bandwidth and peaks are measured the first time, which takes a few seconds, and kept.\n\n\
                        Example: polysilicon devices --json"
)]
pub struct Devices {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure again what was measured before
    #[arg(long)]
    measure: bool,
}

impl Devices {
    /// Lists them, the best first.
    pub fn execute(self) -> Result<(), Failure> {
        let bar = bar();
        let devices = measure_devices(self.measure, &mut |now: Measuring| {
            bar.set_length(now.of as u64);
            bar.set_position(now.done as u64);
            bar.set_message(format!("measuring {} on {} of its cores", now.what, now.threads));
        });
        bar.finish_and_clear();
        if self.json { print_json(&report(&devices)) } else { print(&text(&devices)) }
    }
}

/// Progress on standard error where that is a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {msg}")
        .expect("the template is a constant that names known fields")
        .progress_chars("=> ");
    ProgressBar::new(1).with_style(style)
}

fn report(devices: &[DeviceInfo]) -> Value {
    let names = |info: &DeviceInfo| info.kv.iter().map(|dtype| dtype.name()).collect::<Vec<_>>();
    let device = |info: &DeviceInfo| {
        let measured = measured(info);
        json!({
            "name": info.name,
            "description": info.description,
            "memory_bytes": info.memory_bytes,
            "kv": names(info),
            "auto": info.auto,
            "emulated": info.emulated,
            "features": info.processor.as_ref().map(|processor| &processor.features),
            "quiet": measured.map(|measured| measured.quiet),
            "isa": measured.map(|measured| measured.isa.to_string()),
            "bandwidth": measured.map(|measured| rates(&measured.bandwidth, "bytes_per_s")),
            "peaks": measured.map(peaks),
        })
    };
    let mut report = json!({"devices": devices.iter().map(device).collect::<Vec<_>>()});
    if let Some(Processor { name, cores, features, nodes, .. }) = processor(devices) {
        let node = |node: &MemoryNode| json!({"cores": node.cores, "memory_bytes": node.memory_bytes});
        let nodes = nodes.iter().map(node).collect::<Vec<_>>();
        report["machine"] = json!({"cpu": name, "cores": cores, "features": features, "nodes": nodes});
    }
    report
}

fn peaks(measured: &Measured) -> Value {
    let peak = |(unit, of): &(polysilicon::Unit, Rates)| (unit.to_string(), rates(of, "operations_per_s"));
    Value::Object(measured.peaks.iter().map(peak).collect::<Map<_, _>>())
}

fn rates(rates: &Rates, name: &str) -> Value {
    rates.iter().map(|(threads, rate)| json!({"threads": threads, name: rate})).collect()
}

fn text(devices: &[DeviceInfo]) -> String {
    let header = ["device", "memory", "keys and values in", "what it is"].map(str::to_owned);
    let row = |info: &DeviceInfo| {
        let auto = if info.auto { " (auto)" } else { "" };
        let kv = info.kv.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ");
        let memory = info.memory_bytes.map_or("unknown".to_owned(), bytes);
        [format!("{}{auto}", info.name), memory, kv, info.description.clone()]
    };
    let mut text = table(&[header].into_iter().chain(devices.iter().map(row)).collect::<Vec<_>>(), LEFT);
    if let Some(Processor { name, cores, features, nodes, .. }) = processor(devices) {
        text += &format!("\nmachine: {name}, {cores} cores, {}\n", features.join(" "));
        text += &several(nodes);
    }
    if let Some(measured) = devices.iter().find_map(measured) {
        text += &format!("measured at level {}, in 10^9 bytes or operations per second:\n\n", measured.isa);
        text += &table(&speeds(measured), LEFT);
        if !measured.quiet {
            text += "\nOther programs used the cores meanwhile; `polysilicon devices --measure` on a quiet machine says more.\n";
        }
    }
    text
}

/// What to do where memory is near some cores and far from others.
fn several(nodes: &[MemoryNode]) -> String {
    if nodes.len() < 2 {
        return String::new();
    }
    let node = |(number, MemoryNode { cores, memory_bytes }): (usize, &MemoryNode)| {
        let cores = if cores.is_empty() { "no cores".to_owned() } else { format!("cores {cores}") };
        format!("  node {number}: {cores}, {}\n", bytes(*memory_bytes))
    };
    let listed = nodes.iter().enumerate().map(node).collect::<String>();
    format!(
        "{} memory nodes, which the cpu device takes as one; bind a process to each, by `numactl --cpunodebind=0 --membind=0` \
         and so on, to read near memory alone:\n{listed}",
        nodes.len()
    )
}

/// A column per thread count.
fn speeds(measured: &Measured) -> Vec<Vec<String>> {
    let row = |name: &str, rates: &Rates| {
        let rates = rates.iter().map(|(_, rate)| format!("{:>10}", significant(rate / 1e9)));
        [name.replace('_', " ")].into_iter().chain(rates).collect::<Vec<_>>()
    };
    let threads = |(threads, _)| format!("{threads:>8} thread{}", if threads == 1 { "" } else { "s" });
    let header = [String::new()].into_iter().chain(measured.bandwidth.iter().map(threads)).collect();
    let bandwidth = row("read bandwidth", &measured.bandwidth);
    let peaks = measured.peaks.iter().map(|(unit, rates)| row(unit.name(), rates));
    [header, bandwidth].into_iter().chain(peaks).collect()
}

/// Three digits that count, all of them where there are more before the point.
fn significant(x: f64) -> String {
    match x {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

fn processor(devices: &[DeviceInfo]) -> Option<&Processor> {
    devices.iter().find_map(|info| info.processor.as_ref())
}

fn measured(info: &DeviceInfo) -> Option<&Measured> {
    info.processor.as_ref()?.measured.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memory_nodes_are_listed() {
        let node = |cores: &str| MemoryNode { cores: cores.to_owned(), memory_bytes: 3 << 30 };
        assert_eq!(several(&[node("0-1")]), "");
        let text = several(&[node("0-1"), node("")]);
        assert!(text.starts_with("2 memory nodes") && text.contains("numactl"), "{text}");
        assert!(text.ends_with("  node 0: cores 0-1, 3.00 GiB\n  node 1: no cores, 3.00 GiB\n"), "{text}");
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([0.123, 9.0, 46.21, 8685.4].map(significant), ["0.12", "9.00", "46.2", "8685"]);
    }
}

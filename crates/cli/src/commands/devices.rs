//! `devices`: what there is to run on.

use clap::Args;
use polysilicon::{DeviceInfo, devices};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::machine::Machine;
use crate::output::{print, print_json};
use crate::units::bytes;

#[derive(Args)]
#[command(after_help = "Example: polysilicon devices --json")]
pub struct Devices {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Devices {
    /// Lists them, the best first.
    pub fn execute(self) -> Result<(), Failure> {
        let (devices, machine) = (devices(), Machine::here());
        if self.json { print_json(&report(&devices, &machine)) } else { print(&text(&devices, &machine)) }
    }
}

fn report(devices: &[DeviceInfo], machine: &Machine) -> Value {
    let names = |info: &DeviceInfo| info.kv.iter().map(|dtype| dtype.name()).collect::<Vec<_>>();
    let device = |info: &DeviceInfo| {
        json!({
            "name": info.name,
            "description": info.description,
            "memory_bytes": info.memory_bytes,
            "kv": names(info),
            "auto": info.auto,
        })
    };
    json!({
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "features": machine.features},
    })
}

fn text(devices: &[DeviceInfo], machine: &Machine) -> String {
    let mut text = String::new();
    for info in devices {
        let auto = if info.auto { " (auto)" } else { "" };
        let memory = info.memory_bytes.map_or("unknown".to_owned(), bytes);
        let kv = info.kv.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ");
        text += &format!("{}{auto}: {}\n", info.name, info.description);
        text += &format!("  memory available: {memory}\n  keys and values in: {kv}\n");
    }
    let cpu = machine.cpu.as_deref().unwrap_or("processor of unknown name");
    text + &format!("machine: {cpu}, {} cores, {}\n", machine.cores, machine.features.join(" "))
}

//! What the runtime is told before it starts: through the environment, which is how libnrt is configured.

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// How the runtime is started. What is left out stays as the environment has it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The path of libnrt, where it is not one of [`PLACES`](crate::PLACES).
    pub library: Option<PathBuf>,
    /// The cores this process owns until it ends.
    pub cores: Option<Cores>,
    /// How many cores of the chip act as one. Programs are compiled for one size or the other.
    pub logical_core: Option<LogicalCore>,
    /// Where the ranks of a collective program meet.
    pub collectives_root: Option<SocketAddr>,
    /// How long the runtime itself waits for a program, in whole seconds.
    pub execution_limit: Option<Duration>,
}

/// Cores of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// These, numbered as the machine does.
    These(Vec<u32>),
    /// So many that are free.
    Free(u32),
}

/// Cores of the chip in a logical core; two is what chips that know the choice do by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalCore {
    /// Each core for itself.
    One,
    /// Two cores as one.
    Two,
}

/// More cores than any instance has.
const MOST_CORES: u32 = 4096;

const VISIBLE_CORES: &str = "NEURON_RT_VISIBLE_CORES";
const NUM_CORES: &str = "NEURON_RT_NUM_CORES";

impl Options {
    /// The variables that say what the options say, once the options are found valid.
    pub fn variables(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut variables = Vec::new();
        match &self.cores {
            Some(Cores::These(cores)) => variables.push((VISIBLE_CORES, list(cores)?)),
            Some(Cores::Free(count @ 1..=MOST_CORES)) => variables.push((NUM_CORES, count.to_string())),
            Some(Cores::Free(count)) => {
                return Err(wrong(
                    "cores",
                    count,
                    "at least one core is needed, and no machine has over 4096",
                ));
            }
            None => {}
        }
        if let Some(size) = self.logical_core {
            let cores = if size == LogicalCore::One { "1" } else { "2" };
            variables.push(("NEURON_LOGICAL_NC_CONFIG", cores.to_owned()));
        }
        if let Some(root) = self.collectives_root {
            if root.port() == 0 || root.ip().is_unspecified() {
                return Err(wrong(
                    "collectives_root",
                    root,
                    "the ranks need an address and a port to meet at",
                ));
            }
            variables.push(("NEURON_RT_ROOT_COMM_ID", root.to_string()));
        }
        if let Some(limit) = self.execution_limit {
            if limit.as_secs() == 0 || limit.subsec_nanos() != 0 {
                let value = format!("{limit:?}");
                return Err(wrong("execution_limit", value, "the runtime counts whole seconds, from one on"));
            }
            variables.push(("NEURON_RT_EXEC_TIMEOUT", limit.as_secs().to_string()));
        }
        Ok(variables)
    }

    /// Sets the variables. One that is set already to something else is an error: whoever set it meant it, and may
    /// have given the cores to others.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        let variables = self.variables()?;
        for (name, wanted) in &variables {
            // Cores are given by number or by count, and not by both.
            let rival = match *name {
                VISIBLE_CORES => Some(NUM_CORES),
                NUM_CORES => Some(VISIBLE_CORES),
                _ => None,
            };
            let clash =
                |name: &'static str, is: String| Error::Environment { name, is, wanted: wanted.clone() };
            if let Some((rival, is)) = rival.and_then(|rival| Some((rival, variable(rival)?))) {
                return Err(clash(rival, is));
            }
            if let Some(is) = variable(name).filter(|is| is != wanted) {
                return Err(clash(name, is));
            }
        }
        for (name, value) in variables.iter().filter(|(name, _)| env::var_os(name).is_none()) {
            // SAFETY: the environment must not be read by C code on another thread meanwhile; Rust's own readers take
            // the lock that this takes. libnrt is the code that reads these variables, and it is started after. It is
            // done once in a process, when a device is opened, before the threads that serve requests start.
            unsafe { env::set_var(name, value) };
        }
        Ok(())
    }
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn list(cores: &[u32]) -> Result<String, Error> {
    let text = cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let distinct: BTreeSet<u32> = cores.iter().copied().collect();
    let valid =
        !cores.is_empty() && distinct.len() == cores.len() && cores.iter().all(|&core| core < MOST_CORES);
    let rule = "it must name at least one core, each once, below 4096";
    if valid { Ok(text) } else { Err(wrong("cores", format!("[{text}]"), rule)) }
}

fn wrong(option: &'static str, value: impl ToString, rule: &'static str) -> Error {
    Error::Option { option, value: value.to_string(), rule }
}

//! What the runtime is told before it starts: through the environment, which is how libnrt is configured.

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Error;

/// How the runtime is started. What is left out stays as the environment has it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The path of libnrt, where it is not one of [`PLACES`](crate::PLACES).
    pub library: Option<PathBuf>,
    /// The cores this process owns until it ends, as the machine numbers them.
    pub cores: Option<Vec<u32>>,
    /// How many cores of the chip act as one. Programs are compiled for one size or the other.
    pub logical_core: Option<LogicalCore>,
    /// Where the ranks of a collective program meet.
    pub collectives_root: Option<SocketAddr>,
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

impl Options {
    /// The variables that say what the options say, once the options are found valid.
    pub fn variables(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut variables = Vec::new();
        if let Some(cores) = &self.cores {
            let distinct = cores.iter().filter(|&&core| core < MOST_CORES).collect::<BTreeSet<_>>().len();
            let list = cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let rule = "at least one core is named, each once, below 4096";
            check(!cores.is_empty() && distinct == cores.len(), "cores", &list, rule)?;
            variables.push(("NEURON_RT_VISIBLE_CORES", list));
        }
        if let Some(size) = self.logical_core {
            let cores = if size == LogicalCore::One { "1" } else { "2" };
            variables.push(("NEURON_LOGICAL_NC_CONFIG", cores.to_owned()));
        }
        if let Some(root) = self.collectives_root {
            let rule = "the ranks need an address and a port to meet at";
            check(root.port() != 0 && !root.ip().is_unspecified(), "collectives_root", &root, rule)?;
            variables.push(("NEURON_RT_ROOT_COMM_ID", root.to_string()));
        }
        Ok(variables)
    }

    /// Sets the variables. One that is set already to something else is an error: whoever set it meant it, and may
    /// have given the cores to others.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        let variables = self.variables()?;
        for (name, wanted) in &variables {
            let is = env::var_os(name).map(|value| value.to_string_lossy().into_owned());
            if let Some(is) = is.filter(|is| is != wanted) {
                return Err(Error::Environment { name, is, wanted: wanted.clone() });
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

fn check(holds: bool, option: &'static str, value: &dyn ToString, rule: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Option { option, value: value.to_string(), rule }) }
}

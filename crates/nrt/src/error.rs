//! What can go wrong between this program and a Neuron chip.

use std::ops::Range;
use std::time::Duration;

use crate::status::Status;

/// An error of the runtime's interface. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// For the operator: there is no libnrt.
    #[error("no libnrt was found: {tried}; install aws-neuronx-runtime-lib, or give the path of libnrt.so.1")]
    NoLibrary {
        /// Each place with what the loader said.
        tried: String,
    },
    /// For the operator: libnrt is of another time.
    #[error("{library} has no function `{symbol}`; install a current aws-neuronx-runtime-lib")]
    NoFunction {
        /// Where libnrt was found.
        library: String,
        /// What it lacks.
        symbol: &'static str,
    },
    /// For the operator: an option says nothing that can be meant.
    #[error("the option {option} is {value}, but {rule}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// For the operator: the environment and the options disagree.
    #[error("the environment says {name}={is}, the options {wanted}; leave one of the two out")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What it is.
        is: String,
        /// What the options want.
        wanted: String,
    },
    /// For the caller: no such core.
    #[error("there is no core {core}; this process sees {visible} of them, counted from 0")]
    NoCore {
        /// The core asked for.
        core: u32,
        /// How many there are.
        visible: u32,
    },
    /// For the caller: bytes outside of a tensor.
    #[error("bytes {range:?} were asked for of tensor `{tensor}`, which has {bytes}")]
    Bounds {
        /// The tensor's name.
        tensor: String,
        /// What was asked for.
        range: Range<usize>,
        /// The tensor's length.
        bytes: usize,
    },
    /// For the caller: C ends a name where this one goes on.
    #[error("the name {0:?} holds a zero byte, which libnrt cannot take")]
    Name(String),
    /// libnrt refused or failed; the status says who must act.
    #[error("{call} gave {status}")]
    Call {
        /// The function of libnrt.
        call: &'static str,
        /// What it returned.
        status: Status,
    },
    /// For the operator: the device did not answer.
    #[error("{call} did not end within {limit:?}; restart the process")]
    Late {
        /// The function of libnrt.
        call: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// For the operator: an earlier call left the device in doubt.
    #[error("libnrt is not called any more since an earlier call failed ({because}); restart the process")]
    Poisoned {
        /// The failure.
        because: String,
    },
    /// For the operator: the system gives no thread or no event.
    #[error("the system gives no {what} for calls to libnrt: {error}; raise the limits of this process")]
    System {
        /// What is lacking.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Error {
    /// The status that libnrt gave, if this is one.
    pub fn status(&self) -> Option<Status> {
        if let Error::Call { status, .. } = self { Some(*status) } else { None }
    }

    /// Whether the runtime cannot be used any more and the process has to be restarted.
    pub fn is_fatal(&self) -> bool {
        match self {
            Error::Call { status, .. } => status.remedy().is_fatal(),
            Error::Late { .. } | Error::Poisoned { .. } => true,
            _ => false,
        }
    }
}

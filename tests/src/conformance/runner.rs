//! Backends as rows, and what happens when one runs a case.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use graph::BackendError;
use simd::Isa;
use tensor::{DType, ErrorStats, Value};

use super::{Case, PAGE_LEN};
use crate::cuda_host;
use crate::xla::{self, Xla};
use crate::{bringup, emulated};

/// A backend, or one way of running it.
pub struct Runner {
    /// Where it stands in a report.
    pub name: &'static str,
    /// Whether this machine has it.
    pub present: fn() -> bool,
    /// Runs a case.
    pub eval: fn(&Case) -> Result<Vec<Value>, BackendError>,
    /// Cases that it is not held to, by the beginnings of their names, each with the reason.
    pub ignore: &'static [(&'static str, &'static str)],
}

/// The CPU at a level, with two workers and f32 activations: what rounds them is held to a tolerance of its own.
macro_rules! cpu {
    ($name:literal, $isa:expr) => {
        Runner {
            name: $name,
            present: || $isa.is_present(),
            eval: |case| {
                let options =
                    cpu::Options { threads: Some(2), precision: cpu::Precision::F32, isa: Some($isa) };
                cpu::eval(&options, &case.op, &case.args, PAGE_LEN, &case.bucket)
            },
            ignore: &[],
        }
    };
}

/// What no module for a Neuron chip does.
const NEURON_IGNORES: &[(&str, &str)] = &[
    ("state_read/q8_0", "the chip keeps states in dense types only"),
    ("state_write/q8_0", "the chip keeps states in dense types only"),
    ("attention/q8_0", "the chip keeps states in dense types only"),
    ("reshape/rows of blocks", "blocks are unpacked on their way to the chip"),
    ("gather/q", "blocks are unpacked on their way to the chip"),
    ("gather/iq4", "blocks are unpacked on their way to the chip"),
    ("gather/mxfp4", "blocks are unpacked on their way to the chip"),
    ("gather/f8_e4m3", "blocks are unpacked on their way to the chip"),
    ("gather/experts", "blocks are unpacked on their way to the chip"),
];

/// Every backend there is. The reference is here for the cases whose results were worked out by hand, and once more
/// with every composite expanded.
pub const RUNNERS: &[Runner] = &[
    Runner {
        name: "reference",
        present: always,
        eval: |case| reference::eval(&case.op, &case.args, PAGE_LEN, &case.bucket, false),
        ignore: &[],
    },
    Runner {
        name: "expansion",
        present: always,
        eval: |case| reference::eval(&case.op, &case.args, PAGE_LEN, &case.bucket, true),
        ignore: &[],
    },
    Runner {
        name: "candle",
        present: always,
        eval: |case| candle::eval(&case.op, &case.args, PAGE_LEN, &case.bucket),
        ignore: &[
            ("state_read/q8_0", "candle keeps states in dense types only"),
            ("state_write/q8_0", "candle keeps states in dense types only"),
            ("attention/q8_0", "candle keeps states in dense types only"),
        ],
    },
    Runner {
        name: "xla",
        present: Xla::is_present,
        eval: |case| {
            let options = neuron::Options::new(neuron::Precision::F32, neuron::Dialect::Stock);
            xla::with(|device| neuron::eval(device, &options, &case.op, &case.args, PAGE_LEN, &case.bucket))
        },
        ignore: NEURON_IGNORES,
    },
    Runner {
        name: "emulator",
        present: always,
        eval: |case| {
            let options = &emulated::OPTIONS;
            emulated::with(|chip| neuron::eval(chip, options, &case.op, &case.args, PAGE_LEN, &case.bucket))
        },
        ignore: NEURON_IGNORES,
    },
    Runner {
        name: "neuron",
        present: bringup::is_present,
        eval: |case| {
            let options = &emulated::OPTIONS;
            bringup::with(|chip| neuron::eval(chip, options, &case.op, &case.args, PAGE_LEN, &case.bucket))
        },
        ignore: NEURON_IGNORES,
    },
    Runner {
        name: "cuda",
        present: || cuda_host::gpu().is_some(),
        eval: |case| cuda_host::eval(case, cuda_host::gpu().expect("it is present")),
        ignore: &[],
    },
    Runner {
        name: "cuda, its kernels on the CPU",
        present: cuda_host::is_present,
        eval: |case| cuda_host::eval(case, cuda_host::forwards()),
        ignore: &[],
    },
    Runner {
        name: "cuda, its kernels on the CPU, backwards",
        present: cuda_host::is_present,
        eval: |case| cuda_host::eval(case, cuda_host::backwards()),
        ignore: &[],
    },
    cpu!("cpu, portable", Isa::Portable),
    cpu!("cpu, avx2", Isa::Avx2),
    cpu!("cpu, avx512", Isa::Avx512),
    cpu!("cpu, amx", Isa::Amx),
];

fn always() -> bool {
    true
}

impl Runner {
    /// Whether it is held to a case.
    pub fn runs(&self, case: &Case) -> bool {
        !self.ignore.iter().any(|(prefix, _)| case.name.starts_with(prefix))
    }
}

/// A case that a runner fails.
pub struct Fault {
    case: String,
    reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.case, self.reason)
    }
}

/// Every case that the runner is held to and fails.
pub fn faults(runner: &Runner, cases: &[Case]) -> Vec<Fault> {
    let fault = |case: &Case| {
        let reason = check(runner, case).err()?;
        Some(Fault { case: case.name.clone(), reason })
    };
    cases.iter().filter(|case| runner.runs(case)).filter_map(fault).collect()
}

fn check(runner: &Runner, case: &Case) -> Result<(), String> {
    let wanted = match &case.wanted {
        Some(wanted) => wanted.clone(),
        None => reference::eval(&case.op, &case.args, PAGE_LEN, &case.bucket, false)
            .map_err(|error| format!("the reference: {error}"))?,
    };
    // A case that panics must not hide the cases behind it.
    let ran = catch_unwind(AssertUnwindSafe(|| (runner.eval)(case)));
    let found = ran.map_err(|_| "it panics".to_owned())?.map_err(|error| error.to_string())?;
    if found.len() != wanted.len() {
        return Err(format!("{} results, not {}", found.len(), wanted.len()));
    }
    let mut pairs = found.iter().zip(&wanted).enumerate();
    pairs.try_for_each(|(place, (found, wanted))| {
        compare(found, wanted, case.tolerance).map_err(|reason| format!("result {place}: {reason}"))
    })
}

fn compare(found: &Value, wanted: &Value, tolerance: f64) -> Result<(), String> {
    let (dtype, shape) = (wanted.dtype, wanted.shape);
    if (found.dtype, found.shape) != (dtype, shape) {
        return Err(format!("{}{}, not {dtype}{shape}", found.dtype, found.shape));
    }
    if matches!(dtype, DType::I32 | DType::U32 | DType::U8 | DType::Bool) {
        // As bytes: whole numbers beyond 2^24 are not all numbers of f32.
        let same = found.data.as_slice::<u8>() == wanted.data.as_slice::<u8>();
        return if same { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) };
    }
    let stats = ErrorStats::new(&found.to_f32(), &wanted.to_f32());
    if stats.within(tolerance) { Ok(()) } else { Err(format!("{stats}, where {tolerance:e} is allowed")) }
}

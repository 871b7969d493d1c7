//! What a program tells its device to do, with arguments still named by what they are: a program outlives the memory it
//! runs on.

use crate::driver::{Address, Call, Collective, CollectiveCall, KernelCall, KernelId};
use crate::source::Source;

/// A launch of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What is done.
    pub what: What,
    /// What it is given: of a kernel its arguments, else where the result goes and then what it is made of.
    pub args: Vec<Arg>,
    /// The plan's node that it does, or does a part of.
    pub planned: usize,
}

/// What a launch does.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Runs a kernel.
    Kernel(Kernel),
    /// Does a share of what ranks do together, with so many f32.
    Collective(Collective, usize),
}

/// A kernel and how its work is split.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// Its text.
    pub source: Source,
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes that a block shares beside those that the kernel declares.
    pub shared_bytes: u32,
    /// Whether it may begin before the one before it has ended.
    pub early: bool,
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// No pointer.
    Null,
    /// A byte of the work space.
    Work(usize),
    /// A byte of the work space that nodes share, until their places are known.
    Scratch(usize),
    /// A byte of what the step is fed.
    Input(usize),
    /// A byte of a weight.
    Weight(usize, usize),
    /// A state.
    State(usize),
    /// A byte of the program's table.
    Table(usize),
    /// The tokens that the step before chose.
    Previous,
    /// A whole number.
    Int(i64),
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The work space.
    pub work: Address,
    /// What the step is fed.
    pub inputs: Address,
    /// The program's table.
    pub table: Address,
    /// The tokens that the step before chose.
    pub previous: Address,
    /// Each weight.
    pub weights: Vec<Address>,
    /// Each state.
    pub states: Vec<Address>,
}

impl Addresses {
    fn bits(&self, arg: &Arg) -> u64 {
        match *arg {
            Arg::Null => 0,
            Arg::Scratch(_) => unreachable!("a lowered plan has a place for all that nodes share"),
            Arg::Work(offset) => self.work + offset as u64,
            Arg::Input(offset) => self.inputs + offset as u64,
            Arg::Weight(weight, offset) => self.weights[weight] + offset as u64,
            Arg::State(state) => self.states[state],
            Arg::Table(offset) => self.table + offset as u64,
            Arg::Previous => self.previous,
            Arg::Int(number) => number.cast_unsigned(),
        }
    }
}

impl Launch {
    /// The kernel's text, where it runs one.
    pub fn source(&self) -> Option<&Source> {
        match &self.what {
            What::Kernel(kernel) => Some(&kernel.source),
            What::Collective(..) => None,
        }
    }

    /// What it does, as reports name it.
    pub fn name(&self) -> &'static str {
        match &self.what {
            What::Kernel(kernel) => kernel.source.kernel,
            What::Collective(Collective::Sum, _) => "sum of ranks",
            What::Collective(Collective::Gather, _) => "gather of ranks",
        }
    }
}

/// The texts of launches that run kernels, in order.
pub fn sources(launches: &[Launch]) -> impl Iterator<Item = &Source> {
    launches.iter().filter_map(Launch::source)
}

/// Launches on memory; the kernels are those of [`sources`].
pub fn calls(launches: &[Launch], kernels: &[KernelId], at: &Addresses) -> Vec<Call> {
    let mut kernels = kernels.iter();
    let call = |launch: &Launch| {
        let mut args = launch.args.iter().map(|arg| at.bits(arg));
        match &launch.what {
            What::Kernel(Kernel { grid, threads, shared_bytes, early, .. }) => Call::Kernel(KernelCall {
                kernel: *kernels.next().expect("there is one for each text"),
                grid: *grid,
                threads: *threads,
                shared_bytes: *shared_bytes,
                args: args.collect(),
                early: *early,
            }),
            &What::Collective(what, count) => {
                let mut next = || args.next().expect("it has a result and what that is made of");
                Call::Collective(CollectiveCall { what, to: next(), from: next(), count })
            }
        }
    };
    launches.iter().map(call).collect()
}

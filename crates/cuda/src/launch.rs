//! A kernel to be launched, with its arguments still named by what they are: a program outlives the memory it runs on.

use crate::driver::{Address, Call, KernelId};
use crate::source::Source;

/// A launch of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub source: Source,
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes that a block shares beside those that the kernel declares.
    pub shared_bytes: u32,
    /// What it is given.
    pub args: Vec<Arg>,
    /// The plan's node that it does, or does a part of.
    pub planned: usize,
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

impl Launch {
    /// The launch on memory.
    pub fn bind(&self, kernel: KernelId, at: &Addresses) -> Call {
        let bits = |arg: &Arg| match *arg {
            Arg::Null => 0,
            Arg::Scratch(_) => unreachable!("a lowered plan has a place for all that nodes share"),
            Arg::Work(offset) => at.work + offset as u64,
            Arg::Input(offset) => at.inputs + offset as u64,
            Arg::Weight(weight, offset) => at.weights[weight] + offset as u64,
            Arg::State(state) => at.states[state],
            Arg::Table(offset) => at.table + offset as u64,
            Arg::Previous => at.previous,
            Arg::Int(number) => number.cast_unsigned(),
        };
        let args = self.args.iter().map(bits).collect();
        let Launch { grid, threads, shared_bytes, early, .. } = *self;
        Call { kernel, grid, threads, shared_bytes, args, early }
    }
}

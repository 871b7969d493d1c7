//! A module: computations, the last of which is what is run, and the names by which its arguments are bound.

use crate::{Op, Type};

/// A program for one rank.
#[derive(Clone, PartialEq, Debug)]
pub struct Module {
    /// A name for people.
    pub name: String,
    /// Callees before callers; the last is the entry.
    pub computations: Vec<Computation>,
    /// The name under which each argument of the entry is bound when the program runs.
    pub inputs: Vec<String>,
    /// The name of each result.
    pub outputs: Vec<String>,
    /// Results that are written where an argument lies.
    pub aliases: Vec<Alias>,
}

/// A result that takes an argument's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alias {
    /// Which result.
    pub output: usize,
    /// Which argument.
    pub input: usize,
}

/// A function of a module.
#[derive(Clone, PartialEq, Debug)]
pub struct Computation {
    /// A name for people.
    pub name: String,
    /// Operands before those who read them.
    pub instructions: Vec<Instruction>,
    /// What it gives.
    pub root: Id,
}

/// One instruction.
#[derive(Clone, PartialEq, Debug)]
pub struct Instruction {
    /// What is done,
    pub op: Op,
    /// to which instructions of the same computation,
    pub operands: Vec<Id>,
    /// giving what.
    pub ty: Type,
    /// What it was made of, `layers.0.attn`; empty where nobody said.
    pub path: String,
}

/// A computation of a module, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ComputationId(pub usize);

/// An instruction of a computation, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id(pub usize);

impl Module {
    /// The computation that is run.
    ///
    /// # Panics
    /// Where there is none: neither a builder nor a decoder gives such a module.
    pub fn entry(&self) -> &Computation {
        self.computations.last().expect("a module has an entry")
    }

    /// A computation.
    pub fn computation(&self, id: ComputationId) -> &Computation {
        &self.computations[id.0]
    }
}

impl Computation {
    /// An instruction.
    pub fn instruction(&self, id: Id) -> &Instruction {
        &self.instructions[id.0]
    }

    /// What it gives.
    pub fn result(&self) -> &Type {
        &self.instruction(self.root).ty
    }

    /// The types of its parameters, in order.
    pub fn parameters(&self) -> Vec<&Type> {
        let mut found = self.numbered();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, ty)| ty).collect()
    }

    /// Parameters as they stand, with their numbers.
    pub(crate) fn numbered(&self) -> Vec<(usize, &Type)> {
        let parameter = |instruction: &'_ Instruction| match instruction.op {
            Op::Parameter(number) => Some(number),
            _ => None,
        };
        self.instructions.iter().filter_map(|it| Some((parameter(it)?, &it.ty))).collect()
    }
}

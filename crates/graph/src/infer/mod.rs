//! What type an operation's results have, and why its arguments may not be what they are.

mod composite;
mod core;

use tensor::DType;

use crate::{Dim, Dims, Op, Ty};

/// Why an operation cannot take these arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} {reason}; it was given ({given})")]
pub struct TypeError {
    /// The operation.
    pub op: String,
    /// What it wants.
    pub reason: String,
    /// The types it was given.
    pub given: String,
}

impl Op {
    /// The types of the results for arguments of these types. Calls are typed by their function, not here.
    pub fn infer(&self, args: &[Ty]) -> Result<Vec<Ty>, TypeError> {
        let result = if self.is_composite() { composite::infer(self, args) } else { core::infer(self, args) };
        result.map_err(|reason| TypeError {
            op: self.to_string(),
            reason,
            given: args.iter().map(Ty::to_string).collect::<Vec<_>>().join(", "),
        })
    }
}

/// A reason, or types.
type Inferred = Result<Vec<Ty>, String>;

fn one(dtype: DType, dims: impl Into<Dims>) -> Inferred {
    Ok(vec![Ty::new(dtype, dims)])
}

/// The arguments, if there are as many as wanted.
fn take<const N: usize>(args: &[Ty]) -> Result<[Ty; N], String> {
    args.try_into().map_err(|_| format!("takes {N} arguments"))
}

fn want(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The shape two operands have together: axes of size one, or missing in front, are repeated.
fn joined(a: &Dims, b: &Dims) -> Result<Dims, String> {
    let len = a.len().max(b.len());
    let axis = |dims: &Dims, i: usize| (i + dims.len()).checked_sub(len).map_or(Dim::Fixed(1), |i| dims[i]);
    let axes = (0..len)
        .map(|i| match (axis(a, i), axis(b, i)) {
            (x, y) if x == y => Ok(x),
            (Dim::Fixed(1), y) => Ok(y),
            (x, Dim::Fixed(1)) => Ok(x),
            (x, y) => Err(format!("cannot join an axis of {x} with one of {y}")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Dims::new(&axes))
}

/// These outer axes and one more.
fn with_last(outer: &[Dim], last: impl Into<Dim>) -> Dims {
    let mut axes = outer.to_vec();
    axes.push(last.into());
    Dims::new(&axes)
}

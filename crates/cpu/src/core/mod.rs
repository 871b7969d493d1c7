//! Core operations as plain loops, for what no kernel takes: unusual models, and graphs whose composites are expanded.
//!
//! What they mean is what the graph says, to the letter; they are run by one worker and allocate nothing.

mod elementwise;
mod layout;
mod products;
mod rows;
#[cfg(test)]
mod tests;
mod view;
mod walk;

use graph::Op;

pub use view::{View, ViewMut};

/// Applies a core operation, and says whether it is one of those here: all but what touches states.
///
/// # Panics
/// Where arguments and results are not typed as the graph types them, or an id is none of its table: graphs are
/// verified when they are built and inputs are checked before a step is launched.
#[must_use]
pub fn apply(op: &Op, args: &[View<'_>], results: &mut [ViewMut<'_>]) -> bool {
    let [out, others @ ..] = results else { return false };
    match op {
        Op::Constant(literal) => layout::constant(literal, out),
        Op::Cast(_) => elementwise::cast(args[0], out),
        Op::Iota { axis, .. } => layout::iota(usize::from(*axis), out),
        // Of one rank: graphs of several are refused when they are loaded.
        Op::Reshape(_) | Op::AllReduce { .. } | Op::AllGather { .. } => {
            out.data.copy_from_slice(args[0].data)
        }
        Op::Broadcast(_) => layout::broadcast(args[0], out),
        Op::Transpose(order) => layout::transpose(args[0], order, out),
        Op::Slice { axis, start, .. } => {
            layout::slice(args[0], usize::from(*axis), *start as usize, out);
        }
        Op::Concat { axis } => layout::concat(args, usize::from(*axis), out),
        Op::Gather => layout::gather(args[0], args[1], out),
        Op::Unary(op) => elementwise::unary(*op, args[0], out),
        Op::Binary(op) => elementwise::binary(*op, args[0], args[1], out),
        Op::Compare(op) => elementwise::compare(*op, args[0], args[1], out),
        Op::Select => elementwise::select(args[0], args[1], args[2], out),
        Op::Reduce(op) => rows::reduce(*op, args[0], out),
        Op::Matmul { transposed } => products::matmul(*transposed, args[0], args[1], out),
        Op::Dequantize => rows::dequantize(args[0], out),
        Op::Softmax => rows::softmax(args[0], out),
        Op::TopK(k) => rows::top_k(*k as usize, args[0], out, &mut others[0]),
        _ => return false,
    }
    true
}

//! Fused operations as what they were made of.

use crate::{Act, FuncBuilder, Op, ValueId};

pub(super) fn gated_linear(f: &mut FuncBuilder<'_>, act: Act, biased: bool, args: &[ValueId]) -> ValueId {
    let mut linear = |place: usize| {
        let bias = args.get(place + 2).filter(|_| biased).copied();
        let args = [args[0], args[place]].into_iter().chain(bias).collect::<Vec<_>>();
        f.op(Op::Linear, &args)
    };
    let (gate, up) = (linear(1), linear(2));
    f.op(Op::GatedAct(act), &[gate, up])
}

pub(super) fn linear_add(f: &mut FuncBuilder<'_>, args: &[ValueId]) -> ValueId {
    let (&a, factors) = args.split_last().expect("typed before it is expanded");
    let product = f.op(Op::Linear, factors);
    f.add(a, product)
}

pub(super) fn norm_rope(f: &mut FuncBuilder<'_>, eps: f32, scale: f32, args: &[ValueId]) -> ValueId {
    let &[x, w, positions, frequencies] = args else { unreachable!("typed before it is expanded") };
    let normed = f.op(Op::RmsNorm { eps }, &[x, w]);
    f.op(Op::Rope { scale }, &[normed, positions, frequencies])
}

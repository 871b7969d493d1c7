//! Types of composite operations.

use tensor::DType;

use super::{Inferred, one, take, want, with_last};
use crate::{Dim, Op, Ty};

pub(super) fn infer(op: &Op, args: &[Ty]) -> Inferred {
    match op {
        Op::Embed => {
            let [tokens, table] = take(args)?;
            want(tokens.dtype == DType::I32 && tokens.dims.len() == 1, "takes tokens i32 [T]")?;
            want(is_weight(&table, 2), "looks up a table [V, E]")?;
            one(DType::F32, with_last(&tokens.dims, table.dims[1]))
        }
        Op::Linear => {
            let ([x, w], bias) = split(args)?;
            want(x.dtype == DType::F32 && is_weight(&w, 2), "multiplies f32 by a weight [F, E]")?;
            let fits = x.dims.len() >= 2 && x.dims.last() == Some(&w.dims[1]);
            want(fits, "takes rows x [.., E] for a weight [F, E]")?;
            want(bias.is_none_or(|b| is_weight(&b, 1) && b.dims[0] == w.dims[0]), "takes a bias [F]")?;
            one(DType::F32, with_last(x.dims.outer(1), w.dims[0]))
        }
        Op::RmsNorm { .. } => {
            let [x, w] = take(args)?;
            want(x.dtype == DType::F32 && is_weight(&w, 1), "takes f32 and a weight [E]")?;
            want(x.dims.last() == w.dims.first(), "takes a weight as long as the innermost axis")?;
            one(DType::F32, x.dims)
        }
        Op::Rope { .. } => {
            let [x, positions, frequencies] = take(args)?;
            want(x.dtype == DType::F32 && x.dims.len() == 3, "turns f32 [T, H, D]")?;
            want(
                positions.dtype == DType::I32 && positions.dims[..] == x.dims[..1],
                "takes positions i32 [T]",
            )?;
            let turned = frequencies.dims.first().and_then(|n| n.number()).map(|n| n.saturating_mul(2));
            let fits = turned.zip(x.dims[2].number()).is_some_and(|(n, width)| n <= width);
            want(
                frequencies.dtype == DType::F32 && frequencies.dims.len() == 1 && fits,
                "takes f32 frequencies, at most half as many as a head is wide",
            )?;
            one(DType::F32, x.dims)
        }
        Op::GatedAct(_) => {
            let [gate, up] = take(args)?;
            want(gate == up && gate.dtype == DType::F32, "takes two f32 of one shape")?;
            one(DType::F32, gate.dims)
        }
        Op::Attention { .. } => attention(args),
        Op::Route { k } => {
            let [scores] = take(args)?;
            want(scores.dtype == DType::F32 && scores.dims.len() == 2, "takes scores f32 [T, X]")?;
            let enough = scores.dims[1].number().is_some_and(|x| *k >= 1 && *k <= x);
            want(enough, "chooses at least one expert and at most all")?;
            let dims = with_last(scores.dims.outer(1), *k);
            Ok(vec![Ty::new(DType::F32, dims), Ty::new(DType::I32, dims)])
        }
        Op::ExpertFfn { biased, .. } => experts(*biased, args),
        Op::GatedLinear { biased, .. } => gated_linear(*biased, args),
        Op::LinearAdd { biased } => linear_add(*biased, args),
        Op::NormRope { eps, scale } => {
            let [x, w, positions, frequencies] = take(args)?;
            infer(&Op::RmsNorm { eps: *eps }, &[x, w])?;
            infer(&Op::Rope { scale: *scale }, &[x, positions, frequencies])
        }
        _ => Err("is not a composite operation".to_owned()),
    }
}

fn attention(args: &[Ty]) -> Inferred {
    let ([q, k, v, positions, sequences, table, base], sinks) = split(args)?;
    want(q.dtype == DType::F32 && q.dims.len() == 3, "takes queries f32 [T, H, D]")?;
    want(k == v && k.dims.len() == 4, "takes two states [pool, S, K, D]")?;
    want(q.dims[2] == k.dims[3], "takes queries and keys of one head width")?;
    let grouped = q.dims[1].number().zip(k.dims[2].number()).is_some_and(|(h, n)| n > 0 && h % n == 0);
    want(grouped, "takes query heads in whole groups per kv head")?;
    let per_token = |ty: &Ty| ty.dtype == DType::I32 && ty.dims[..] == q.dims[..1];
    want(per_token(&positions) && per_token(&sequences), "takes positions and sequences i32 [T]")?;
    want(table.dtype == DType::I32 && table.dims.len() == 2, "takes a table i32 [B, P]")?;
    want(base.dtype == DType::I32 && base.dims[..] == table.dims[..1], "takes a base i32 [B]")?;
    want(sinks.is_none_or(|s| is_weight(&s, 1) && s.dims[0] == q.dims[1]), "takes sinks [H]")?;
    one(DType::F32, q.dims)
}

fn experts(biased: bool, args: &[Ty]) -> Inferred {
    let count = if biased { 9 } else { 6 };
    want(args.len() == count, "takes x, weights, experts, three weights and, where biased, three biases")?;
    let [x, weights, chosen] = take(&args[..3])?;
    let [gate, up, down] = take(&args[3..6])?;
    want(x.dtype == DType::F32 && x.dims.len() == 2, "takes x f32 [T, E]")?;
    want(weights.dtype == DType::F32 && chosen.dtype == DType::I32, "takes f32 weights and i32 experts")?;
    want(
        weights.dims == chosen.dims && weights.dims[..1] == x.dims[..1],
        "takes weights and experts [T, k]",
    )?;
    want([gate, up, down].iter().all(|w| is_weight(w, 3)), "takes three weights of three axes")?;
    let ([n, f], e): ([Dim; 2], Dim) = ([gate.dims[0], gate.dims[1]], x.dims[1]);
    want(gate.dims == up.dims && gate.dims[2] == e, "takes gate and up [X, F, E]")?;
    want(down.dims[..] == [n, e, f], "takes down [X, E, F]")?;
    if biased {
        let [gate, up, down] = take(&args[6..])?;
        let wide = |bias: &Ty, width| is_weight(bias, 2) && bias.dims[..] == [n, width];
        want(wide(&gate, f) && wide(&up, f) && wide(&down, e), "takes biases [X, F], [X, F] and [X, E]")?;
    }
    one(DType::F32, x.dims)
}

fn gated_linear(biased: bool, args: &[Ty]) -> Inferred {
    let count = if biased { 5 } else { 3 };
    want(args.len() == count, "takes x, two weights and, where biased, two biases")?;
    let one_of = |place: usize| {
        let bias = args.get(place + 2).filter(|_| biased).copied();
        infer(&Op::Linear, &[args[0], args[place]].into_iter().chain(bias).collect::<Vec<_>>())
    };
    let (gate, up) = (one_of(1)?, one_of(2)?);
    want(gate == up, "takes two weights of one shape")?;
    Ok(gate)
}

fn linear_add(biased: bool, args: &[Ty]) -> Inferred {
    let count = if biased { 4 } else { 3 };
    want(args.len() == count, "takes x, a weight, where biased a bias, and what is added")?;
    let product = infer(&Op::Linear, &args[..count - 1])?;
    want(args[count - 1..] == product, "adds what has the type of the product")?;
    Ok(product)
}

fn is_weight(ty: &Ty, axes: usize) -> bool {
    ty.dims.len() == axes && (ty.dtype.is_float() || ty.dtype.is_block())
}

/// `N` arguments and perhaps one more.
fn split<const N: usize>(args: &[Ty]) -> Result<([Ty; N], Option<Ty>), String> {
    let (first, rest) = args.split_at_checked(N).ok_or_else(|| format!("takes at least {N} arguments"))?;
    want(rest.len() <= 1, "takes one optional argument at most")?;
    Ok((take(first)?, rest.first().copied()))
}

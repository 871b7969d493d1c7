//! What an operation is on one rank, by how its arguments are divided.

use super::Cut;
use crate::{Dim, Dims, Op, Ty};

/// How a value is divided among ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Every rank has all of it.
    Whole,
    /// Each has a slice.
    Split(Cut),
    /// The first has it, the others zeros.
    Once,
    /// A table that is divided by how it is used.
    Table,
}

/// What a node becomes.
pub(super) struct Rule {
    /// The operation on a rank.
    pub op: Op,
    /// How its results are divided, before what follows.
    pub layout: Layout,
    /// What is done with its result.
    pub then: Then,
}

/// What ranks do with what each of them made.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// Nothing.
    Keep,
    /// They sum it.
    Reduce,
}

/// What an operation becomes for arguments that are divided like this, or why it cannot be done by ranks. `types` are
/// those of its arguments on the whole.
pub(super) fn rule(op: &Op, args: &[Layout], types: &[Ty]) -> Result<Rule, String> {
    use Layout::{Once, Split, Whole};
    let made = |layout, then| Ok(Rule { op: op.clone(), layout, then });
    if args.iter().all(|layout| *layout == Whole) {
        return made(Whole, Then::Keep);
    }
    match (op, args) {
        (Op::Embed, [Whole, Split(table)]) if table.axis == 1 => made(Split(*table), Then::Keep),
        (Op::Linear, [Whole, Split(w), bias @ ..]) if w.axis == 0 && bias.iter().all(|b| *b == Split(*w)) => {
            let outer = types[0].dims.len() - 1;
            made(Split(Cut { axis: outer as u8, ..*w }), Then::Keep)
        }
        (Op::Linear, [Split(x), Split(w), bias @ ..]) if bias.iter().all(|b| *b == Once) => {
            let inner = usize::from(x.axis) == types[0].dims.len() - 1;
            want(inner && w.axis == 1 && x.same(w), "sums over an axis that is cut alike on both sides")?;
            made(Whole, Then::Reduce)
        }
        (Op::RmsNorm { .. }, [Split(x), Whole]) => {
            let inner = usize::from(x.axis) == types[0].dims.len() - 1;
            want(!inner, "takes whole rows")?;
            made(Split(*x), Then::Keep)
        }
        (Op::Rope { .. }, [Split(x), Whole, Whole]) if x.axis == 1 => made(Split(*x), Then::Keep),
        (Op::GatedAct(_), [Split(a), Split(b)]) if a == b => made(Split(*a), Then::Keep),
        (Op::Reshape(dims), [Split(x)]) => reshape(dims, x, &types[0].dims),
        (Op::StateWrite, [Split(state), Whole, Split(values)]) => {
            want(state.axis == values.axis + 1 && state.same(values), "writes what is cut as the state is")?;
            made(Split(*state), Then::Keep)
        }
        (Op::Attention { .. }, [Split(q), Split(k), Split(v), Whole, Whole, Whole, Whole, sinks @ ..]) => {
            let fits = q.axis == 1 && q.copies == 1 && k.axis == 2 && k == v;
            want(fits && q.ranks() == k.ranks(), "takes heads that are cut alike")?;
            let sinks = sinks.iter().all(|sinks| matches!(sinks, Split(s) if s.axis == 0 && s.same(q)));
            want(sinks, "takes sinks that are cut as its heads are")?;
            made(Split(*q), Then::Keep)
        }
        (Op::ExpertFfn { biased, .. }, [Whole, Whole, Whole, Split(gate), Split(up), Split(down), ..]) => {
            let fits = gate.axis == 1 && gate == up && down.axis == 2 && down.same(gate);
            want(fits, "takes experts whose inner axis is cut alike")?;
            let biases = [Split(*gate), Split(*up), Once];
            want(!biased || args[6..] == biases, "takes biases that are cut as the weights are")?;
            made(Whole, Then::Reduce)
        }
        _ => Err("has no rule for arguments that are divided like this".to_owned()),
    }
}

/// The axes before the one that is cut stay; it becomes several, of which the outermost is cut, or goes with those
/// behind it into one.
fn reshape(dims: &Dims, x: &Cut, from: &Dims) -> Result<Rule, String> {
    let axis = usize::from(x.axis);
    let kept = dims.len() > axis && dims[..axis] == from[..axis];
    want(kept, "keeps the axes before the one that is cut")?;
    let whole = dims[axis].number().ok_or("makes an axis of known size of the one that is cut")?;
    // Elements of the old axis for each one of the new.
    let (len, fits) = match whole <= x.whole {
        true => (
            x.len / (x.whole / whole).max(1),
            x.whole.is_multiple_of(whole) && x.len.is_multiple_of(x.whole / whole),
        ),
        false => (x.len.saturating_mul(whole / x.whole), whole % x.whole == 0),
    };
    want(fits, "cuts the axis between elements of the new one")?;
    let mut axes = dims.to_vec();
    axes[axis] = Dim::Fixed(len);
    let layout = Layout::Split(Cut { len, whole, ..*x });
    Ok(Rule { op: Op::Reshape(Dims::new(&axes)), layout, then: Then::Keep })
}

fn want(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

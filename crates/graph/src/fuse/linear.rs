//! Products with what is done to them at once.

use super::Change;
use super::site::Site;
use crate::{BinaryOp, Node, Op, ValueId};

/// `gated_act(linear(x, gate), linear(x, up))`, both with a bias or both without.
pub(super) fn gated_linear(site: &Site<'_>, _: ValueId, node: &Node) -> Option<Change> {
    let Op::GatedAct(act) = node.op else { return None };
    let (gate, up) = (linear(site, node.args[0])?, linear(site, node.args[1])?);
    if gate.args[0] != up.args[0] || gate.args.len() != up.args.len() {
        return None;
    }
    let mut args = vec![gate.args[0], gate.args[1], up.args[1]];
    let biases = gate.args.get(2).into_iter().chain(up.args.get(2));
    args.extend(biases);
    Some(Change::Becomes(Op::GatedLinear { act, biased: args.len() == 5 }, args))
}

/// `a + linear(x, w)`, in either order.
pub(super) fn linear_add(site: &Site<'_>, _: ValueId, node: &Node) -> Option<Change> {
    let Op::Binary(BinaryOp::Add) = node.op else { return None };
    let &[a, b] = &node.args[..] else { return None };
    if site.ty(a) != site.ty(b) {
        return None;
    }
    // Of two products the later is the one computed last, so that nothing has to wait for it.
    let (product, other) = match (linear(site, a), linear(site, b)) {
        (Some(product), None) => (product, b),
        (Some(product), Some(_)) if b < a => (product, b),
        (_, product) => (product?, a),
    };
    let args = product.args.iter().copied().chain([other]).collect::<Vec<_>>();
    Some(Change::Becomes(Op::LinearAdd { biased: args.len() == 4 }, args))
}

/// The product that a value is, where nobody else reads it.
fn linear<'a>(site: &Site<'a>, value: ValueId) -> Option<&'a Node> {
    site.inner(value).filter(|node| node.op == Op::Linear)
}

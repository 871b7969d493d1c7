//! What a description says twice, or for nobody.

use super::Change;
use super::site::Site;
use crate::{Node, Op, ValueId};

/// A node whose results nobody reads. Parameters stay with their function, and states and calls do more than give
/// results.
pub(super) fn unused(site: &Site<'_>, first: ValueId, node: &Node) -> Option<Change> {
    let stays = matches!(node.op, Op::Param(_) | Op::Call(_) | Op::StateWrite);
    let mut results = (first.0..first.0 + node.results).map(ValueId);
    (!stays && results.all(|value| site.reads(value) == 0)).then_some(Change::Goes)
}

/// A reshape, broadcast or cast to the type that its argument has.
pub(super) fn identity(site: &Site<'_>, first: ValueId, node: &Node) -> Option<Change> {
    let (Op::Reshape(_) | Op::Broadcast(_) | Op::Cast(_)) = node.op else { return None };
    (site.ty(first) == site.ty(node.args[0])).then_some(Change::Is(node.args[0]))
}

/// A reshape of a reshape: the first shape does not matter.
pub(super) fn reshape_reshape(site: &Site<'_>, _: ValueId, node: &Node) -> Option<Change> {
    let Op::Reshape(_) = node.op else { return None };
    let inner = site.maker(node.args[0]).filter(|inner| matches!(inner.op, Op::Reshape(_)))?;
    Some(Change::Becomes(node.op.clone(), inner.args.clone()))
}

/// A constant that stands before already.
pub(super) fn same_constant(site: &Site<'_>, first: ValueId, node: &Node) -> Option<Change> {
    let Op::Constant(literal) = &node.op else { return None };
    let mut before = site.before(first);
    let same = before.find(|(_, node)| match &node.op {
        Op::Constant(other) => other.is_same(literal) && !site.is_kept(node),
        _ => false,
    });
    same.map(|(value, _)| Change::Is(value))
}

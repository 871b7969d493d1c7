//! Heads normed and turned.

use super::Change;
use super::site::Site;
use crate::{Node, Op, ValueId};

/// `rope(rms_norm(x, w), positions, frequencies)`.
pub(super) fn norm_rope(site: &Site<'_>, _: ValueId, node: &Node) -> Option<Change> {
    let Op::Rope { scale } = node.op else { return None };
    let norm = site.inner(node.args[0])?;
    let Op::RmsNorm { eps } = norm.op else { return None };
    let args = norm.args.iter().chain(&node.args[1..]).copied().collect();
    Some(Change::Becomes(Op::NormRope { eps, scale }, args))
}

//! What a graph does with each of its weights decides how the weight is packed.

use graph::{Func, FuncId, Graph, Op, Param, ValueId};

/// The ways in which a weight is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Rows that products stream and embeddings pick, experts one behind another.
    pub matrix: bool,
    /// Plain f32: norms, biases, sinks.
    pub vector: bool,
    /// As it is found, by any other operation.
    pub plain: bool,
}

impl Roles {
    fn merge(&mut self, other: Roles) {
        self.matrix |= other.matrix;
        self.vector |= other.vector;
        self.plain |= other.plain;
    }
}

/// The roles of what `main` takes, parameter by parameter.
pub fn of(graph: &Graph) -> Vec<Roles> {
    let mut known = vec![None; graph.funcs.len()];
    func_roles(graph, graph.main, &mut known)
}

/// The roles of a function's parameters; each function is looked at once.
fn func_roles(graph: &Graph, id: FuncId, known: &mut Vec<Option<Vec<Roles>>>) -> Vec<Roles> {
    if let Some(roles) = &known[id.index()] {
        return roles.clone();
    }
    let func = graph.func(id);
    let mut roles = vec![Roles::default(); func.params.len()];
    for node in &func.nodes {
        let callee = match node.op {
            Op::Call(callee) => Some(func_roles(graph, callee, known)),
            _ => None,
        };
        for (place, &arg) in node.args.iter().enumerate() {
            let Some(param) = param_of(func, arg) else { continue };
            let role = callee.as_ref().map_or_else(|| of_argument(&node.op, place), |callee| callee[place]);
            roles[param].merge(role);
        }
    }
    known[id.index()] = Some(roles.clone());
    roles
}

/// How an operation reads its argument of this place.
fn of_argument(op: &Op, place: usize) -> Roles {
    const MATRIX: Roles = Roles { matrix: true, vector: false, plain: false };
    const VECTOR: Roles = Roles { matrix: false, vector: true, plain: false };
    const PLAIN: Roles = Roles { matrix: false, vector: false, plain: true };
    match (op, place) {
        (Op::Linear | Op::LinearAdd { .. } | Op::Embed, 1) => MATRIX,
        (Op::GatedLinear { .. }, 1 | 2) | (Op::ExpertFfn { .. }, 3..=5) => MATRIX,
        (Op::Linear, 2) | (Op::LinearAdd { biased: true }, 2) => VECTOR,
        (Op::GatedLinear { .. }, 3 | 4) | (Op::ExpertFfn { .. }, 6..=8) => VECTOR,
        (Op::RmsNorm { .. } | Op::NormRope { .. }, 1) | (Op::Attention { .. }, 7) => VECTOR,
        _ => PLAIN,
    }
}

fn param_of(func: &Func, value: ValueId) -> Option<usize> {
    let made = func.nodes_with_ids().find(|(first, _)| *first == value)?;
    match made.1.op {
        Op::Param(place) => Some(place as usize),
        _ => None,
    }
}

/// The roles of the graph's weights, in their order.
pub fn of_weights(graph: &Graph) -> Vec<Roles> {
    let params = graph.main().params.iter().zip(of(graph));
    params.filter(|(param, _)| matches!(param, Param::Weight(_))).map(|(_, roles)| roles).collect()
}

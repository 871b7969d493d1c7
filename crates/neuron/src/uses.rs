//! What reads each parameter of a graph: who is only ever a factor of products may be stored in another form.

use graph::{Func, Graph, Op};

/// What reads a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Products, as their matrix.
    pub factor: bool,
    /// Something else.
    pub other: bool,
}

/// What reads each parameter of main, calls followed.
pub(crate) fn uses(graph: &Graph) -> Vec<Use> {
    let main = graph.main();
    let mut uses = vec![Use::default(); main.params.len()];
    let all = (0..uses.len()).map(Some).collect::<Vec<_>>();
    follow(graph, main, &all, &mut uses);
    uses
}

/// `given` says which parameter of main each argument is, where it is one.
fn follow(graph: &Graph, func: &Func, given: &[Option<usize>], uses: &mut [Use]) {
    let mut values = vec![None; func.types.len()];
    for (first, node) in func.nodes_with_ids() {
        let args = node.args.iter().map(|arg| values[arg.index()]).collect::<Vec<_>>();
        match &node.op {
            Op::Param(place) => values[first.index()] = given[*place as usize],
            Op::Call(callee) => follow(graph, graph.func(*callee), &args, uses),
            op => {
                for (place, param) in args.into_iter().enumerate() {
                    let Some(param) = param else { continue };
                    match (op, place) {
                        (Op::Linear, 1) | (Op::ExpertFfn { .. }, 3..=5) => uses[param].factor = true,
                        _ => uses[param].other = true,
                    }
                }
            }
        }
    }
}

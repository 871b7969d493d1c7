//! What a graph does with its states decides how their pages are laid out.

use graph::{Func, Graph, Op, Param};

use super::Layout;

/// The layout of each state: that of keys or values where attention reads it as one of them only, else plain.
pub fn layouts(graph: &Graph) -> Vec<Layout> {
    let mut uses = vec![Uses::default(); graph.states.len()];
    let mut next = 0..uses.len();
    let state = |param: &Param| if matches!(param, Param::State(..)) { next.next() } else { None };
    let params = graph.main().params.iter().map(state).collect::<Vec<_>>();
    follow(graph, graph.main(), &params, &mut uses);
    uses.iter().map(Uses::layout).collect()
}

/// Whether attention reads a state as keys, as values.
#[derive(Clone, Copy, Default)]
struct Uses {
    keys: bool,
    values: bool,
}

impl Uses {
    fn layout(&self) -> Layout {
        match (self.keys, self.values) {
            (true, false) => Layout::Keys,
            (false, true) => Layout::Values,
            _ => Layout::Plain,
        }
    }
}

/// Follows states through a function that is given `args`; which states its results are.
fn follow(graph: &Graph, func: &Func, args: &[Option<usize>], uses: &mut [Uses]) -> Vec<Option<usize>> {
    let mut values: Vec<Option<usize>> = Vec::with_capacity(func.types.len());
    for node in &func.nodes {
        let given = node.args.iter().map(|arg| values[arg.index()]).collect::<Vec<_>>();
        match &node.op {
            Op::Param(place) => values.push(args[*place as usize]),
            Op::Call(callee) => values.extend(follow(graph, graph.func(*callee), &given, uses)),
            Op::StateWrite => values.push(given[0]),
            op => {
                if let (Op::Attention { .. }, Some(&keys), Some(&of_values)) =
                    (op, given.get(1), given.get(2))
                {
                    keys.into_iter().for_each(|state| uses[state].keys = true);
                    of_values.into_iter().for_each(|state| uses[state].values = true);
                }
                values.extend((0..node.results).map(|_| None));
            }
        }
    }
    func.results.iter().map(|value| values[value.index()]).collect()
}

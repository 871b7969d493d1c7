//! What must hold of any graph, whoever made it.

use std::collections::HashSet;
use std::panic::Location;

use crate::{Func, FuncId, Graph, Op, Param, Ty, ValueId};

/// A graph that breaks a rule: a mistake of the code that made it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("function {func}{}: {reason}", at.map_or(String::new(), |at| format!(", node made at {at}")))]
pub struct VerifyError {
    /// The function.
    pub func: String,
    /// The line that made the node, where it is about one.
    pub at: Option<&'static Location<'static>>,
    /// The rule broken.
    pub reason: String,
}

/// Checks that parameters become values once, values are made before they are used, types follow from arguments, calls
/// fit their functions and come after them, names are unique, and each state is threaded in one line.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    if graph.main.index() >= graph.funcs.len() {
        let reason = format!("f{} is to be the step, of {} functions", graph.main.0, graph.funcs.len());
        return Err(VerifyError { func: "main".to_owned(), at: None, reason });
    }
    for (place, func) in graph.funcs.iter().enumerate() {
        verify_func(graph, FuncId(place as u32), func)?;
    }
    let main = graph.main();
    let fail = |reason: String| VerifyError { func: main.name.clone(), at: None, reason };
    if main.results.len() != 1 + graph.states.len() {
        return Err(fail(format!("gives {} results for {} states", main.results.len(), graph.states.len())));
    }
    let taken = |is: fn(&Param) -> bool| main.params.iter().filter(|param| is(param)).count();
    let taken = [taken(|p| matches!(p, Param::Weight(_))), taken(|p| matches!(p, Param::State(..)))];
    let listed = [graph.weights.len(), graph.states.len()];
    if taken != listed {
        return Err(fail(format!("takes {taken:?} weights and states, and the graph lists {listed:?}")));
    }
    Ok(())
}

fn verify_func(graph: &Graph, id: FuncId, func: &Func) -> Result<(), VerifyError> {
    verify_counts(func).map_err(|reason| VerifyError { func: func.name.clone(), at: None, reason })?;
    let mut made = 0;
    let mut names = HashSet::new();
    let mut written = HashSet::new();
    for (first, node) in func.nodes_with_ids() {
        let fail = |reason: String| VerifyError { func: func.name.clone(), at: Some(node.at), reason };
        if let Some(late) = node.args.iter().find(|arg| arg.0 >= made) {
            return Err(fail(format!("value %{} is used before it is made", late.0)));
        }
        if let Some(stale) = node.args.iter().find(|arg| written.contains(*arg)) {
            return Err(fail(format!("state %{} is used after it was replaced", stale.0)));
        }
        if node.name.as_ref().is_some_and(|name| !names.insert(name)) {
            return Err(fail(format!("the name `{}` is taken", node.name.as_deref().unwrap_or_default())));
        }
        let given = func.tys(&node.args);
        made = first.0 + node.results;
        let stated = &func.types[first.index()..made as usize];
        let types = result_types(graph, id, &node.op, &given, stated).map_err(&fail)?;
        if *stated != types {
            return Err(fail(format!("{} gives {types:?}, not {stated:?}", node.op)));
        }
        match &node.op {
            Op::StateWrite => written.extend(node.args.first().copied()),
            Op::Call(callee) => {
                let params = &graph.func(*callee).params;
                let states =
                    params.iter().zip(&node.args).filter(|(param, _)| matches!(param, Param::State(..)));
                written.extend(states.map(|(_, arg)| *arg));
            }
            _ => {}
        }
    }
    let late = func.results.iter().find(|result| result.0 >= made || written.contains(*result));
    match late {
        Some(ValueId(v)) => {
            let reason = format!("result %{v} is never made, or a state that was replaced");
            Err(VerifyError { func: func.name.clone(), at: None, reason })
        }
        None => Ok(()),
    }
}

/// What the rest may count on: a type per value, and a value per parameter.
fn verify_counts(func: &Func) -> Result<(), String> {
    let values = func.nodes.iter().map(|node| node.results as usize).sum::<usize>();
    if func.types.len() != values {
        return Err(format!("it has {} types for {values} values", func.types.len()));
    }
    let mut made = vec![0; func.params.len()];
    for node in &func.nodes {
        if let Op::Param(place) = node.op {
            let made = made.get_mut(place as usize);
            *made.ok_or_else(|| format!("parameter {place} does not exist"))? += node.results;
        }
    }
    match made.iter().position(|&times| times != 1) {
        Some(place) => Err(format!("parameter {place} becomes {} values, not one", made[place])),
        None => Ok(()),
    }
}

/// The types that a node's results must have; of a parameter, those it states.
fn result_types(graph: &Graph, id: FuncId, op: &Op, given: &[Ty], stated: &[Ty]) -> Result<Vec<Ty>, String> {
    match op {
        Op::Param(_) => Ok(stated.to_vec()),
        Op::Call(callee) => {
            // Calls go to functions made before, so there is no recursion.
            if *callee >= id {
                return Err(format!("calls f{}, which comes later", callee.0));
            }
            let callee = graph.func(*callee);
            let wanted = callee.param_types();
            if wanted != given {
                return Err(format!("calls {} with {given:?} where it takes {wanted:?}", callee.name));
            }
            Ok(callee.tys(&callee.results))
        }
        op => op.infer(given).map_err(|error| error.to_string()),
    }
}

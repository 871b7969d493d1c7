//! Loops: how often their bodies are run. The compiler takes only those that can be counted before they run.

use hlo::{Binary, Compare, Computation, Id, Instruction, Literal, Module, Op};

/// How often the body of a `while` is run: what it counts starts at a constant, grows by a constant, and is compared
/// with one. The reason where it is no such loop.
pub fn turns(module: &Module, of: &Computation, it: &Instruction) -> Result<u64, String> {
    counted(module, of, it).ok_or_else(|| {
        let path = if it.path.is_empty() { "a loop without a path" } else { &it.path };
        format!("{path}: the turns of this while cannot be counted before it runs")
    })
}

fn counted(module: &Module, of: &Computation, it: &Instruction) -> Option<u64> {
    let Op::While { condition, body } = it.op else { return None };
    let condition = module.computation(condition);
    let test = condition.instruction(condition.root);
    let Op::Compare(Compare::Lt) = test.op else { return None };
    let counter = part(condition, *test.operands.first()?)?;
    let end = constant(condition, *test.operands.get(1)?)?;

    let first = of.instruction(*it.operands.first()?);
    let Op::Tuple = first.op else { return None };
    let start = constant(of, *first.operands.get(counter)?)?;

    let body = module.computation(body);
    let next = body.instruction(body.root);
    let Op::Tuple = next.op else { return None };
    let grown = body.instruction(*next.operands.get(counter)?);
    let Op::Binary(Binary::Add) = grown.op else { return None };
    let step = constant(body, *grown.operands.get(1)?)?;
    let same = part(body, *grown.operands.first()?)? == counter;
    (same && step > 0).then(|| ((end - start).max(0) as u64).div_ceil(step as u64))
}

/// Which part of a computation's only parameter this is.
fn part(of: &Computation, id: Id) -> Option<usize> {
    let it = of.instruction(id);
    let parameter = of.instruction(*it.operands.first()?);
    match (&it.op, &parameter.op) {
        (Op::GetTupleElement(place), Op::Parameter(0)) => Some(*place),
        _ => None,
    }
}

fn constant(of: &Computation, id: Id) -> Option<i64> {
    match &of.instruction(id).op {
        Op::Constant(literal) => Literal::as_s32s(literal)?.first().map(|&value| value.into()),
        _ => None,
    }
}

//! A written file held against the model it was made of.
//!
//! GGUF cannot say all that a configuration can. Whatever it cannot say shows as an operation that differs once the
//! file is opened again, so nothing has to be known here of what GGUF lacks.

use graph::{Graph, Literal, Op};
use tensor::DType;

use crate::tokens::Tokens;
use crate::{Error, Opened};

/// How far apart frequencies and their factor may be, relative: files hold them divided, or in f32.
const CLOSE: f32 = 1e-5;

/// An operation and where it stands.
struct Step {
    path: String,
    op: Op,
}

/// Refuses a file whose model does not do, step for step, what the original does within the file's context.
pub(super) fn same_model(model: &Opened, graph: &Graph, written: &Opened, kv: DType) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::NotGguf { model: model.name.clone(), reason });
    let context = written.context()?;
    let opened = written.graph(kv)?;
    let shapes =
        |graph: &Graph| graph.weights.iter().map(|w| (w.name.clone(), w.info.shape)).collect::<Vec<_>>();
    if shapes(graph) != shapes(&opened) {
        return refuse("the file would have other weights".to_owned());
    }
    let (want, got) = (steps(graph, context), steps(&opened, context));
    if want.len() != got.len() {
        return refuse(format!("the file would have {} operations, not {}", got.len(), want.len()));
    }
    for (want, got) in want.iter().zip(&got) {
        if !alike(want, got) {
            let Step { path, op } = want;
            return refuse(match op {
                Op::Constant(_) => "GGUF has no way to say its rotary frequencies".to_owned(),
                _ => format!("GGUF has no way to say `{op}` of {path}; the file would do `{}`", got.op),
            });
        }
    }
    Ok(())
}

/// Refuses a file whose tokenizer does not put the same tokens around a text. Gives what is to be said of end tokens that
/// the file does not name.
pub(super) fn same_tokens(model: &Opened, written: &Opened) -> Result<Option<String>, Error> {
    let (want, got) = (model.tokens()?, written.tokens()?);
    let around = |tokens: &Tokens| tokens.tokenizer.as_ref().map(|t| t.encode("a", true)).transpose();
    if around(&want)? != around(&got)? {
        let reason = "GGUF has no way to say which tokens its tokenizer puts around a text".to_owned();
        return Err(Error::NotGguf { model: model.name.clone(), reason });
    }
    let lost = want.end.iter().filter(|id| !got.end.contains(id));
    let lost = lost.map(u32::to_string).collect::<Vec<_>>();
    Ok((!lost.is_empty()).then(|| format!("GGUF has no room for the end tokens {}", lost.join(", "))))
}

/// The steps of a graph. A window that reaches over the whole context is none.
fn steps(graph: &Graph, context: u32) -> Vec<Step> {
    let mut steps = vec![];
    graph.walk(&mut |path, op, _, _| {
        let op = match op {
            Op::Attention { scale, window } => {
                Op::Attention { scale: *scale, window: window.filter(|&window| window < context) }
            }
            other => other.clone(),
        };
        steps.push(Step { path: path.to_owned(), op });
    });
    steps
}

fn alike(a: &Step, b: &Step) -> bool {
    let close = |a: &f32, b: &f32| (a - b).abs() <= CLOSE * a.abs();
    let same = match (&a.op, &b.op) {
        (Op::Constant(Literal::Vector(a)), Op::Constant(Literal::Vector(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b))
        }
        (Op::Rope { scale: a }, Op::Rope { scale: b }) => close(a, b),
        (a, b) => a == b,
    };
    same && a.path == b.path
}

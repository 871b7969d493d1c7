//! The interpreter: functions node by node, with values brought out and put in by name.

use candle_core::{Result, bail};
use graph::{FuncId, Node, Op, ValueId};
use tensor::{DType, Shape};

use crate::array::{Array, stored};
use crate::ops::apply;
use crate::program::{Program, path};

/// Values brought out, in the order of the program's taps.
pub(crate) type Taps = Vec<(Shape, Vec<f32>)>;

/// Runs the main function over its parameters, giving its results and the taps.
pub(crate) fn run(program: &Program, args: Vec<Array>, patches: &[&[f32]]) -> Result<(Vec<Array>, Taps)> {
    let mut run = Run { program, patches, taps: vec![None; program.spec.taps.len()] };
    let results = run.call(program.graph.main, args, "")?;
    let taps = run.taps.into_iter().zip(&program.spec.taps);
    let taps = taps.map(|(tap, name)| match tap {
        Some(tap) => Ok(tap),
        None => bail!("`{name}` was never computed"),
    });
    Ok((results, taps.collect::<Result<_>>()?))
}

struct Run<'a> {
    program: &'a Program,
    patches: &'a [&'a [f32]],
    taps: Vec<Option<(Shape, Vec<f32>)>>,
}

impl Run<'_> {
    fn call(&mut self, id: FuncId, args: Vec<Array>, prefix: &str) -> Result<Vec<Array>> {
        let func = self.program.graph.func(id);
        let mut values: Vec<Option<Array>> = vec![None; func.types.len()];
        for (place, (first, node)) in func.nodes_with_ids().enumerate() {
            let given = match node.op {
                Op::Param(param) => vec![fetch(&args, param as usize)?],
                _ => node.args.iter().map(|arg| alive(&values, *arg)).collect::<Result<_>>()?,
            };
            // What dies here is dropped before the node runs; `given` holds it as long as it is needed.
            for dead in self.program.dies_after(id, place) {
                values[dead.index()] = None;
            }
            let mut results = self.node(node, first, id, given, prefix)?;
            if let Some(name) = &node.name {
                self.probe(&format!("{prefix}{name}"), &mut results)?;
            }
            for (value, result) in values[first.index()..].iter_mut().zip(results) {
                *value = Some(result);
            }
        }
        func.results.iter().map(|result| alive(&values, *result)).collect()
    }

    fn node(
        &mut self,
        node: &Node,
        first: ValueId,
        id: FuncId,
        given: Vec<Array>,
        prefix: &str,
    ) -> Result<Vec<Array>> {
        let types = &self.program.graph.func(id).types[first.index()..first.index() + node.results as usize];
        let shapes = types.iter().map(|ty| ty.dims.shape()).collect::<Option<Vec<_>>>();
        let results = match (&node.op, shapes) {
            (Op::Param(_), _) => Ok(given),
            (Op::Call(callee), _) => {
                let prefix = format!("{}.", path(prefix, first, node.name.as_deref()));
                self.call(*callee, given, &prefix)
            }
            // Candle does not take every operation on no elements, and there is nothing to compute.
            (_, Some(shapes)) if shapes.iter().all(|shape| shape.contains(&0)) => {
                types.iter().zip(&shapes).map(|(ty, shape)| Array::zeros(ty.dtype, shape)).collect()
            }
            (op, _) => apply(op, &given),
        };
        results.map_err(|error| {
            error.context(format!("{} in `{}`", node.op, path(prefix, first, node.name.as_deref())))
        })
    }

    /// Replaces a node's first result where there is a patch for it, and copies it out where there is a tap.
    fn probe(&mut self, path: &str, results: &mut [Array]) -> Result<()> {
        let Some(result) = results.first_mut() else { return Ok(()) };
        let spec = &self.program.spec;
        if let Some(place) = spec.patches.iter().position(|name| name == path) {
            *result = patched(result, self.patches[place])?;
        }
        for (tap, _) in self.taps.iter_mut().zip(&spec.taps).filter(|(_, name)| *name == path) {
            *tap = Some((result.shape(), result.to_f32s()?));
        }
        Ok(())
    }
}

fn patched(old: &Array, values: &[f32]) -> Result<Array> {
    let new = candle_core::Tensor::from_slice(values, &old.shape()[..], old.tensor.device())?;
    let new = Array::new(DType::F32, new)?;
    Array::new(old.dtype, new.tensor.to_dtype(stored(old.dtype))?)
}

fn fetch(args: &[Array], place: usize) -> Result<Array> {
    match args.get(place) {
        Some(array) => Ok(array.clone()),
        None => bail!("parameter {place} was not given"),
    }
}

fn alive(values: &[Option<Array>], value: ValueId) -> Result<Array> {
    match values.get(value.index()) {
        Some(Some(array)) => Ok(array.clone()),
        _ => bail!("value %{} is read before it is made", value.0),
    }
}

//! One operation on its own: how conformance holds this backend against others.

use std::sync::Arc;

use graph::{BackendError, Bucket, Dims, Graph, Op, Place, Plan, ProgramSpec, Ty, ValueId, expand};
use tensor::{Shape, Value, WeightInfo};

use crate::compiled::Kernels;
use crate::driver::{Driver, Memory};
use crate::launch::{Addresses, calls, sources};
use crate::lower::{Given, lower};
use crate::options::Options;
use crate::weights::forms_of;
use crate::{NAME, fault, unsupported};

/// Evaluates one operation, whole where there is a kernel for it. Arguments are what weights are to a model, and states are
/// values `[pages, S, ..]` with pages of `page_len` slots.
pub fn eval(
    driver: &Arc<dyn Driver>,
    options: &Options,
    op: &Op,
    args: &[Value],
    page_len: u32,
    bucket: &Bucket,
) -> Result<Vec<Value>, BackendError> {
    let types = args.iter().map(|arg| Ty::new(arg.dtype, Dims::from(arg.shape))).collect::<Vec<_>>();
    let graph =
        Graph::of_op(op, &types, page_len).map_err(|error| unsupported(op.to_string(), error.to_string()))?;
    graph.check_alone(NAME)?;
    let mut plan = Plan::of(&expand(&graph, bucket, &|op| op.is_composite()), &[]);
    for value in &mut plan.values {
        if let Place::Argument(argument) = value.place {
            value.place = Place::Weight(argument);
        }
    }
    let infos = args.iter().map(|arg| WeightInfo { dtype: arg.dtype, shape: arg.shape }).collect::<Vec<_>>();
    let forms = forms_of(&plan, &infos);
    let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
    let given = Given { forms: &forms, options, spec: &spec, page_len: page_len as usize, samples: false };
    let lowered = lower(&plan, &given)?;

    let kernels = Kernels::default().load(driver, sources(&lowered.launches), &|_, _| {})?;
    let memory = |bytes: &[u8]| {
        let memory = Memory::new(driver, bytes.len()).map_err(fault)?;
        memory.write(0, bytes).map_err(fault).map(|()| memory)
    };
    let mut given = vec![];
    for ((arg, info), form) in args.iter().zip(&infos).zip(&forms) {
        let bytes = form.bytes(info).expect("a value's bytes are counted");
        let place = Memory::new(driver, bytes).map_err(fault)?;
        form.write(info, 0, arg.data.as_slice(), &place)?;
        given.push(place);
    }
    let (work, table) = (Memory::new(driver, lowered.work_bytes).map_err(fault)?, memory(&lowered.table)?);
    let weights = given.iter().map(Memory::address).collect();
    let at = Addresses { work: work.address(), table: table.address(), weights, ..Addresses::default() };
    let calls = calls(&lowered.launches, &kernels, &at);
    // SAFETY: every place was made as large as the plan says; `read` below waits for the launches.
    unsafe { driver.play(&calls) }.map_err(fault)?;

    let result = |&value: &ValueId| {
        let (ty, place) = (plan.ty(value), plan.place(value));
        let shape = ty.dims.shape().or_else(|| match place {
            Place::Weight(argument) => Some(args[argument].shape),
            _ => None,
        });
        let shape: Shape = shape.expect("what is no state is bound");
        let bytes = shape.elements().and_then(|count| ty.dtype.bytes_of(count)).expect("results are counted");
        let mut read = vec![0; bytes];
        match place {
            Place::Arena { offset } => work.read(offset, &mut read),
            Place::Weight(argument) => given[argument].read(0, &mut read),
            Place::Constant(_) => table.read(0, &mut read),
            place => unreachable!("an operation gives no {place:?}"),
        }
        .map_err(fault)?;
        Ok(Value::new(ty.dtype, shape, &read))
    };
    plan.results.iter().map(result).collect()
}

//! One operation alone, for the conformance suite.

use graph::{BackendError, Bucket, Graph, Op, Place, ProgramSpec, Ty};
use hlo::{Element, Shape};
use tensor::{DType, Value, WeightInfo};

use crate::uses::uses;
use crate::weights::Form;
use crate::{Device, Emitted, Given, Options, emit, unsupported};

/// The results of one operation on concrete values, composites through their expansion. A state is a value
/// `[pages, S, ..]` with pages of `page_len` slots; `bucket` binds what variables the operation's shape has.
pub fn eval<D: Device>(
    device: &mut D,
    options: &Options,
    op: &Op,
    args: &[Value],
    page_len: u32,
    bucket: &Bucket,
) -> Result<Vec<Value>, BackendError> {
    let types = args.iter().map(|arg| Ty::new(arg.dtype, arg.shape)).collect::<Vec<_>>();
    let graph =
        Graph::of_op(op, &types, page_len).map_err(|error| unsupported(op.to_string(), error.to_string()))?;
    let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
    let Emitted { module, inputs } = emit(&graph, &spec, &[], options)?;
    let (program, uses) = (device.load(&module)?, uses(&graph));
    let mut given = vec![];
    for (input, ty) in inputs.iter().zip(module.entry().parameters()) {
        let (Given::Main(Place::Argument(place)) | Given::Scales(Place::Argument(place))) = *input else {
            unreachable!("an operation takes values alone")
        };
        let arg = &args[place];
        let bytes = arg.data.as_slice::<u8>();
        let info = WeightInfo { dtype: arg.dtype, shape: arg.shape };
        let form = Form::of(&info, uses[place], options);
        let is_packed = arg.dtype.is_block() || matches!(form, Form::Narrow(..));
        let packed = is_packed.then(|| form.pack(&info, bytes));
        let packed = packed.map(|[elements, scales]| match input {
            Given::Scales(_) => scales,
            _ => elements,
        });
        let shape = ty.array().expect("inputs are arrays");
        let mut tensor = device.allocate("argument", shape)?;
        device.write(&mut tensor, None, 0, packed.as_deref().unwrap_or(bytes))?;
        given.push(tensor);
    }
    let shapes = module.entry().result().arrays();
    let made = shapes.iter().map(|shape| device.allocate("result", shape)).collect::<Result<Vec<_>, _>>()?;
    let bound = device.bind(&program, &given.iter().collect::<Vec<_>>(), &made.iter().collect::<Vec<_>>())?;
    let run = device.start(&bound)?;
    device.wait(run)?;
    shapes.iter().zip(&made).map(|(shape, tensor)| value(device, shape, tensor)).collect()
}

fn value<D: Device>(device: &mut D, shape: &Shape, tensor: &D::Tensor) -> Result<Value, BackendError> {
    let mut bytes = vec![0; shape.bytes().expect("typed: it can be counted")];
    device.read(tensor, 0, 0, &mut bytes)?;
    let dtype = match shape.element {
        Element::F32 => DType::F32,
        Element::F16 => DType::F16,
        Element::BF16 => DType::BF16,
        Element::S32 => DType::I32,
        Element::U32 => DType::U32,
        Element::U8 => DType::U8,
        Element::Pred => DType::Bool,
        other => return Err(unsupported("a result".to_owned(), format!("it is of {other}"))),
    };
    Ok(Value::new(dtype, tensor::Shape::new(&shape.dims), &bytes))
}

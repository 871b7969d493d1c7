//! Kernels in AWS's kernel language in place of what they compute: where they are asked for, and where one is written for
//! the shapes. A module names the kernel; `kernels/neuron/embed.py` puts it in where the compiler is.

use graph::{BackendError, Bucket, Graph, Op as GraphOp, Ty};
use hlo::{Binary, Element, Id, Literal, Op, Shape, Type};
use kernels::neuron::{Mxfp4Product, PagedAttention};
use serde_json::{Value, json};
use tensor::DType;

use super::{Emitter, Site};
use crate::{Dialect, Options, Precision};

/// What the compiler calls a kernel that was made elsewhere.
const NATIVE: &str = "AwsNeuronCustomNativeKernel";

/// Whether modules may hold kernels at all.
fn are_wanted(options: &Options) -> bool {
    options.kernels && options.dialect == Dialect::Neuron && options.precision == Precision::Bf16
}

/// Whether every attention of a bound graph is one that the kernel is written for, so that none is expanded.
pub(super) fn take_attention(bound: &Graph, bucket: &Bucket, options: &Options) -> bool {
    let mut all = are_wanted(options) && bucket.queries == 1;
    bound.walk(&mut |_, op, args, _| {
        if let GraphOp::Attention { window, .. } = op {
            all &= window.is_none() && args.len() == 7 && shapes(args).is_some_and(|it| it.fits());
        }
    });
    all
}

/// The shapes of an attention to keys in bf16.
fn shapes(args: &[Ty]) -> Option<PagedAttention> {
    let number = |arg: usize, axis: usize| args[arg].dims.get(axis)?.number().map(|n| n as usize);
    let positions = number(5, 1)?.checked_mul(number(1, 1)?)?;
    let shapes =
        PagedAttention { heads: number(0, 1)?, kv_heads: number(1, 2)?, width: number(0, 2)?, positions };
    (args[1].dtype == DType::BF16 && args[2].dtype == DType::BF16).then_some(shapes)
}

impl Emitter<'_> {
    /// Attention of one token of each sequence, by the kernel.
    pub(super) fn attention(&mut self, scale: f32, args: &[Id], site: &Site<'_>) -> Result<Id, BackendError> {
        let &[q, keys, values, positions, _, table, base] = args else {
            unreachable!("attention without sinks is left whole")
        };
        let slots = self.graph.page_len as i32;
        let pages = self.b.dims(table).to_vec();
        let all = [pages[0], pages[1], slots as usize];
        // The slot of each position: its page's first, and its place.
        let first = self.whole_times(table, slots);
        let first = self.b.broadcast(first, &all, &[0, 1]);
        let place = self.b.iota(Shape::new(Element::S32, all), 2);
        let rows = self.b.binary(Binary::Add, first, place);
        let rows = self.b.reshape(rows, &[all[0], all[1] * all[2]]);
        let rows = self.b.convert(rows, Element::U32);
        // How many of them a token sees, itself included.
        let before = self.whole_times(base, -slots);
        let seen = self.b.binary(Binary::Add, positions, before);
        let one = self.b.constant(Literal::s32(1));
        let one = self.b.broadcast(one, &[pages[0]], &[]);
        let seen = self.b.binary(Binary::Add, seen, one);
        let seen = self.b.convert(seen, Element::F32);
        let seen = self.b.reshape(seen, &[pages[0], 1]);
        let q = self.b.convert(q, Element::BF16);
        let result = Shape::new(Element::F32, self.dims(&site.ty.dims));
        Ok(self.kernel(PagedAttention::NAME, &[q, keys, values, rows, seen], &[json!(scale)], result))
    }

    /// Rows of activations `[p, 1, N]` by matrices in MXFP4 that were gathered from a table by `ids`, by the kernel; `None`
    /// where it is not wanted or not written for the shapes.
    pub(super) fn mxfp4_product(&mut self, a: Id, codes: Id, scales: Id, ids: Id) -> Option<Id> {
        let &[pairs, 1, width] = self.b.dims(a) else { return None };
        let rows = *self.b.dims(codes).get(1)?;
        if !are_wanted(self.options)
            || self.b.dims(codes).len() != 4
            || !(Mxfp4Product { rows, width }).fits()
        {
            return None;
        }
        let a = self.b.convert(a, Element::F32);
        let a = self.b.reshape(a, &[pairs, width]);
        let ids = self.b.convert(ids, Element::U32);
        let ids = self.b.reshape(ids, &[pairs, 1]);
        let result = Shape::new(Element::F32, [pairs, rows]);
        let y = self.kernel(Mxfp4Product::NAME, &[a, codes, scales, ids], &[], result);
        Some(self.b.reshape(y, &[pairs, 1, rows]))
    }

    fn whole_times(&mut self, x: Id, by: i32) -> Id {
        let dims = self.b.dims(x).to_vec();
        let by = self.b.constant(Literal::s32(by));
        let by = self.b.broadcast(by, &dims, &[]);
        self.b.binary(Binary::Multiply, x, by)
    }

    /// The call that embeds a kernel: its configuration says which, for which arguments.
    fn kernel(&mut self, name: &str, args: &[Id], numbers: &[Value], result: Shape) -> Id {
        let describe = |&arg: &Id| {
            let shape = self.b.shape(arg);
            json!([numpy(shape.element), shape.dims])
        };
        let arguments = args.iter().map(describe).collect::<Vec<_>>();
        let config = json!({ "kernel": name, "arguments": arguments, "numbers": numbers }).to_string();
        let call = Op::CustomCall { target: NATIVE.to_owned(), config, ty: Type::Array(result) };
        self.b.push(call, args)
    }
}

/// numpy's name of a type.
fn numpy(element: Element) -> &'static str {
    match element {
        Element::U8 => "uint8",
        Element::U32 => "uint32",
        Element::BF16 => "bfloat16",
        Element::F32 => "float32",
        _ => unreachable!("kernels take these types alone"),
    }
}

//! Along the innermost axis.

use graph::ReduceOp;
use hlo::{Binary, Compare, Element, Id, Literal, Op, Shape, Type, Unary};

use super::Emitter;
use crate::Dialect;

impl Emitter<'_> {
    /// The innermost axis folded to one element, which stays as an axis.
    pub(super) fn reduce(&mut self, op: ReduceOp, x: Id) -> Id {
        let x = self.wide(x);
        let width = self.b.dims(x).last().copied().expect("typed: at least one axis");
        let sum = match op {
            ReduceOp::Max => self.fold(Binary::Maximum, x, f32::NEG_INFINITY),
            ReduceOp::Sum | ReduceOp::Mean => self.fold(Binary::Add, x, 0.0),
        };
        if op != ReduceOp::Mean {
            return sum;
        }
        let width = self.number(width as f32, sum);
        self.b.binary(Binary::Divide, sum, width)
    }

    pub(super) fn softmax(&mut self, x: Id) -> Id {
        let x = self.wide(x);
        let dims = self.b.dims(x).to_vec();
        let largest = self.fold(Binary::Maximum, x, f32::NEG_INFINITY);
        let largest = self.repeat(largest, &dims);
        let x = self.b.binary(Binary::Subtract, x, largest);
        let x = self.b.unary(Unary::Exponential, x);
        let sum = self.fold(Binary::Add, x, 0.0);
        let sum = self.repeat(sum, &dims);
        self.b.binary(Binary::Divide, x, sum)
    }

    /// The `k` largest of each row and where they stand, largest first, the first of equals first.
    pub(super) fn top_k(&mut self, x: Id, k: usize) -> Vec<Id> {
        let x = self.wide(x);
        match self.options.dialect {
            Dialect::Neuron => self.top_k_call(x, k),
            Dialect::Stock => self.top_k_sorted(x, k),
        }
    }

    /// Rows as the custom call takes them: two axes.
    fn top_k_call(&mut self, x: Id, k: usize) -> Vec<Id> {
        let mut dims = self.b.dims(x).to_vec();
        let width = dims.pop().expect("typed: at least one axis");
        let rows = dims.iter().product::<usize>();
        dims.push(k);
        let x = self.b.reshape(x, &[rows, width]);
        let of = |element| Shape::new(element, [rows, k]);
        let ty = Type::Tuple(vec![of(Element::F32), of(Element::U32)]);
        let call = Op::CustomCall { target: "AwsNeuronTopK".to_owned(), config: k.to_string(), ty };
        let both = self.b.push(call, &[x]);
        let (values, places) = (self.b.part(both, 0), self.b.part(both, 1));
        let places = self.b.convert(places, Element::S32);
        vec![self.b.reshape(values, &dims), self.b.reshape(places, &dims)]
    }

    /// The twin: every row sorted with the places of its elements, and cut.
    fn top_k_sorted(&mut self, x: Id, k: usize) -> Vec<Id> {
        // The two zeros are equal, which not every sort believes.
        let nought = self.number(0.0, x);
        let is_nought = self.b.compare(Compare::Eq, x, nought);
        let x = self.b.select(is_nought, nought, x);
        let shape = self.b.shape(x).of(Element::S32);
        let axis = shape.dims.len() - 1;
        let places = self.b.iota(shape, axis);
        let elements = [Element::F32, Element::F32, Element::S32, Element::S32];
        let first =
            self.b.computation("larger", &elements, |b, pairs| b.compare(Compare::Gt, pairs[0], pairs[1]));
        let sorted = self.b.push(Op::Sort { dimension: axis, computation: first }, &[x, places]);
        [0, 1]
            .map(|part| {
                let part = self.b.part(sorted, part);
                self.b.slice(part, axis, 0, k)
            })
            .to_vec()
    }

    pub(super) fn fold(&mut self, op: Binary, x: Id, initial: f32) -> Id {
        let mut dims = self.b.dims(x).to_vec();
        let axis = dims.len() - 1;
        dims[axis] = 1;
        let folded = self.b.reduce(op, x, axis, Literal::f32(initial));
        self.b.reshape(folded, &dims)
    }
}

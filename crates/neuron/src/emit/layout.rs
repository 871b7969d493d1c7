//! Elements moved, in whatever type they are held.

use graph::Op;
use hlo::{Element, Id};

use super::{Emitter, Site};

impl Emitter<'_> {
    pub(super) fn layout(&mut self, args: &[Id], site: &Site<'_>) -> Id {
        let dims = self.dims(&site.ty.dims);
        let wanted = |axis: u8| usize::from(axis);
        match site.op {
            Op::Reshape(_) => self.b.reshape(args[0], &dims),
            Op::Broadcast(_) => self.repeat(args[0], &dims),
            Op::Transpose(order) => {
                let order = order.iter().map(|&axis| usize::from(axis)).collect::<Vec<_>>();
                self.b.transpose(args[0], &order)
            }
            Op::Slice { axis, start, len } => {
                let (start, len) = (*start as usize, *len as usize);
                self.b.slice(args[0], wanted(*axis), start, start + len)
            }
            Op::Concat { axis } => {
                let args = self.alike(args);
                self.b.concatenate(&args, wanted(*axis))
            }
            op => unreachable!("{op} does not move elements"),
        }
    }

    /// Axes of size one, or missing in front, repeated to this shape.
    pub(super) fn repeat(&mut self, x: Id, dims: &[usize]) -> Id {
        let own = self.b.dims(x).to_vec();
        let front = dims.len() - own.len();
        let kept = (0..own.len()).filter(|&axis| own[axis] == dims[front + axis]).collect::<Vec<_>>();
        let lengths = kept.iter().map(|&axis| own[axis]).collect::<Vec<_>>();
        if own == dims {
            return x;
        }
        let x = self.b.reshape(x, &lengths);
        let places = kept.iter().map(|&axis| front + axis).collect::<Vec<_>>();
        self.b.broadcast(x, dims, &places)
    }

    /// Parts in one type: narrow only where all are.
    fn alike(&mut self, args: &[Id]) -> Vec<Id> {
        let first = self.b.element(args[0]);
        let same = args.iter().all(|&arg| self.b.element(arg) == first);
        let element = if same { first } else { Element::F32 };
        args.iter().map(|&arg| self.b.convert(arg, element)).collect()
    }
}

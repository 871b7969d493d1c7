//! What ranks do together. A result is one run of bytes, rank after rank; where the axis along which it is put together is
//! not the outermost, it is turned afterwards.

use graph::{Act, ValueId};

use super::core::Walk;
use super::{Lowering, with_act};
use crate::driver::Collective;
use crate::launch::{Arg, Launch, What};
use crate::source::Source;

impl Lowering<'_> {
    /// The sum of what ranks have.
    pub(super) fn all_reduce(&mut self, ranks: usize, x: ValueId, out: ValueId) {
        let (to, from, count) = (self.arg(out), self.arg(x), self.count(x));
        if !self.options.invariant {
            return self.collective(Collective::Sum, to, from, count);
        }
        // In what order a device's own sum adds up may depend on how many rows there are.
        let (rows, width) = self.rows(x);
        let all = self.gathered(ranks, from, count);
        let source = Source::new("sum_parts").with("FEATURES", width).with("PARTS", ranks);
        let source = source.with("BIASED", 0).with("BIAS0", "float").with("BIAS1", "float");
        let source = with_act(source.with("ADDED", 0).with("GATED", 0), Act::Silu);
        let args = vec![to, all, Arg::Null, Arg::Null, Arg::Null, Arg::Int(rows as i64)];
        self.push_each(source, count, args);
    }

    /// What ranks have, rank after rank along an axis.
    pub(super) fn all_gather(&mut self, axis: usize, ranks: usize, x: ValueId, out: ValueId) {
        let (to, from, own) = (self.arg(out), self.arg(x), self.shape(x));
        let [outer, inner] = [&own[..axis], &own[axis..]].map(|axes| axes.iter().product::<usize>());
        if outer == 1 {
            return self.collective(Collective::Gather, to, from, inner);
        }
        let arg = self.gathered(ranks, from, outer * inner);
        let walk = |arg, strides| Walk { arg, ctype: "float", strides, first: 0 };
        let (to, from) = (walk(to, vec![ranks * inner, inner, 1]), walk(arg, vec![inner, outer * inner, 1]));
        self.map("a", &[outer, ranks, inner], to, vec![from]);
    }

    /// What ranks have, so many f32 each, until the next node.
    fn gathered(&mut self, ranks: usize, from: Arg, count: usize) -> Arg {
        let all = self.scratch(ranks * count * size_of::<f32>());
        self.collective(Collective::Gather, all, from, count);
        all
    }

    fn collective(&mut self, what: Collective, to: Arg, from: Arg, count: usize) {
        // Every rank has as many, so that all of them leave it out.
        if count > 0 {
            let (what, args) = (What::Collective(what, count), vec![to, from]);
            self.launches.push(Launch { what, args, planned: self.planned });
        }
    }
}

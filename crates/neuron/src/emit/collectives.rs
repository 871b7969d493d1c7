//! What ranks do together. All of them form one group, named by their numbers as replicas, as AWS's own emitters name
//! them (NKIPy's `hlo.py`): without channels, which are for devices that share a program's parts. One rank alone has nothing to wait for.

use hlo::{Binary, Element, Id, Op};

use super::Emitter;

impl Emitter<'_> {
    /// What every rank made, summed in f32.
    pub(super) fn all_reduce(&mut self, x: Id, ranks: u32) -> Id {
        let x = self.wide(x);
        if ranks == 1 {
            return x;
        }
        let computation = self.b.fold(Binary::Add, Element::F32);
        self.b.push(Op::AllReduce { groups: all(ranks), computation }, &[x])
    }

    /// What every rank made, one behind another along an axis.
    pub(super) fn all_gather(&mut self, x: Id, dimension: usize, ranks: u32) -> Id {
        let x = self.wide(x);
        if ranks == 1 {
            return x;
        }
        self.b.push(Op::AllGather { dimension, groups: all(ranks) }, &[x])
    }
}

fn all(ranks: u32) -> Vec<Vec<usize>> {
    vec![(0..ranks as usize).collect()]
}

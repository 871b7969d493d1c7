//! Partial results merged.

use simd::{Isa, Kernel, LANES, Simd};

use super::Call;
use super::exp2::Exp2;
use super::running::{self, Rows};
use super::step::Merging;

/// Merges the partial results of a sequence's tokens for one kv head, and ends their rows.
///
/// # Safety
/// As for [`Call::merge`].
pub unsafe fn merge(isa: Isa, call: &Call<'_>, merging: &Merging) {
    isa.run(Merge { call, merging, exp2: call.shape.exp2() });
}

/// Where a partial result lies.
///
/// # Safety
/// There are as many.
pub unsafe fn partial(call: &Call<'_>, index: usize) -> Rows {
    let lanes = call.shape.lanes();
    // SAFETY: as the caller says. Maximum and total have sixteen places each, since they are read as vectors.
    unsafe {
        let sums = call.partials.add(index * call.shape.partial_floats());
        Rows { max: sums.add(lanes), total: sums.add(lanes + LANES), sums }
    }
}

struct Merge<'a> {
    call: &'a Call<'a>,
    merging: &'a Merging,
    exp2: Exp2,
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Merge { call, merging, exp2 } = self;
        let shape = &call.shape;
        let rows = merging.tokens.len() * shape.group();
        for row in 0..rows {
            let token = merging.tokens.start + row / shape.group();
            let head = merging.head * shape.group() + row % shape.group();
            // SAFETY: all units are done, and these partial results and this row are the merge's own.
            unsafe {
                let first = partial(call, merging.partial + row);
                for chunk in 1..merging.chunks {
                    let next = partial(call, merging.partial + chunk * rows + row);
                    running::merge(s, exp2, first, next, 1, shape.lanes());
                }
                let result = (*first.max, *first.total, first.sums.cast_const());
                let sink = call.sinks.map(|sinks| sinks[head]);
                let out = call.out.add((token * shape.heads + head) * shape.width);
                running::finish(s, exp2, result, sink, out, shape.width);
            }
        }
    }
}

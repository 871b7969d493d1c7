//! Kernels that go row by row.

use graph::Act;
use simd::Isa;

use super::{COUNTS, Guarded, SIDES, Side, assert_written, numbers};
use crate::rows::{
    CHUNK, Heads, Peak, add, add_in_place, gated_act, norm_rope, rms_norm, rope, route, softmax, turns,
};

/// Widths with and without whole vectors, groups of four vectors, and rests.
const WIDTHS: [usize; 7] = [1, 5, 16, 31, 64, 100, 576];

/// Every side, level, width and number of rows.
fn everywhere(check: impl Fn(Side, Isa, usize, usize)) {
    for side in SIDES {
        for isa in Isa::present() {
            for (width, rows) in WIDTHS.into_iter().flat_map(|width| COUNTS.map(|rows| (width, rows))) {
                check(side, isa, width, rows);
            }
        }
    }
}

#[test]
fn sums_and_activations_stay_within_their_operands() {
    everywhere(|side, isa, width, rows| {
        let (a, b) = (numbers(side, rows * width), numbers(side, rows * width));
        let mut out = Guarded::unwritten(side, rows * width);
        add(isa, &a, &b, &mut out);
        assert_written(&out, &("add", side, isa, width, rows));
        add_in_place(isa, &mut out, &a);
        assert_written(&out, &("add in place", side, isa, width, rows));
        for act in [Act::Silu, Act::Relu, Act::Gelu, Act::GeluTanh, Act::Clamped { alpha: 1.702, limit: 0.5 }]
        {
            let mut out = Guarded::unwritten(side, rows * width);
            gated_act(isa, act, &a, &b, &mut out);
            assert_written(&out, &(act, side, isa, width, rows));
        }
    });
}

#[test]
fn norms_and_softmax_stay_within_their_operands() {
    everywhere(|side, isa, width, rows| {
        let (x, w) = (numbers(side, rows * width), numbers(side, width));
        let mut out = Guarded::unwritten(side, rows * width);
        rms_norm(isa, &x, &w, 1e-5, &mut out);
        assert_written(&out, &("norm", side, isa, width, rows));
        let mut out = Guarded::unwritten(side, rows * width);
        softmax(isa, &x, width, &mut out);
        assert_written(&out, &("softmax", side, isa, width, rows));
    });
}

#[test]
fn turns_stay_within_their_operands() {
    everywhere(|side, isa, width, rows| {
        let heads = Heads { count: 3, width, turned: width / 2 };
        let positions = Guarded::of(side, &(0..rows as i32).collect::<Vec<_>>());
        let mut table = Guarded::unwritten(side, rows * 2 * heads.turned);
        turns(&positions, &numbers(side, heads.turned), 1.0, &mut table);
        assert_written(&table, &("turns", side, width, rows));
        let (x, w) = (numbers(side, rows * 3 * width), numbers(side, width));
        let mut out = Guarded::unwritten(side, x.len());
        rope(isa, &x, &table, heads, &mut out);
        assert_written(&out, &("rope", side, isa, width, rows));
        let mut out = Guarded::unwritten(side, x.len());
        norm_rope(isa, &x, &w, 1e-5, &table, heads, &mut out);
        assert_written(&out, &("norm and rope", side, isa, width, rows));
    });
}

#[test]
fn choices_stay_within_their_operands() {
    everywhere(|side, isa, width, rows| {
        let k = width.div_ceil(4);
        let mut weights = Guarded::unwritten(side, rows * k);
        let mut experts = Guarded::<i32>::unwritten(side, rows * k);
        route(isa, k, &numbers(side, rows * width), width, &mut weights, &mut experts);
        assert_written(&weights, &("route", side, isa, width, rows));
        assert!(experts.is_intact() && experts.iter().all(|expert| (0..width as i32).contains(expert)));
        let logits = numbers(side, rows * width);
        assert!(Peak::of(isa, &logits[..logits.len().min(CHUNK)], 0).sum >= 1.0);
    });
}

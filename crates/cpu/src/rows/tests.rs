//! Every kernel against f64, and every level against the portable one, bit by bit.

use graph::Act;
use simd::Isa;
use tensor::{DType, blocks};

use super::*;

/// Widths with and without whole vectors, groups of four vectors, and rests.
const WIDTHS: [usize; 7] = [1, 5, 16, 31, 64, 100, 576];

/// Numbers in [-4, 4), the same for the same seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 21) as f32 - 4.0
    };
    (0..count).map(|_| next()).collect()
}

/// What `f` gives at the portable level, having found that every other level gives the same bits.
fn at_every_level(f: impl Fn(Isa) -> Vec<f32>) -> Vec<f32> {
    let wanted = f(Isa::Portable);
    for isa in Isa::present() {
        assert_eq!(bits(&f(isa)), bits(&wanted), "{isa}");
    }
    wanted
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn assert_close(found: &[f32], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (place, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (f64::from(found) - wanted).abs();
        assert!(error <= tolerance * wanted.abs().max(1.0), "{place}: {found}, not {wanted}");
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// Three rows by `f`.
fn by_rows(x: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    wide(x).chunks_exact(x.len() / 3).flat_map(f).collect()
}

fn normed(x: &[f64], w: &[f32]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(w).map(|(x, &w)| x / (mean + 1e-5).sqrt() * f64::from(w)).collect()
}

#[test]
fn norms_of_rows() {
    for width in WIDTHS {
        let (x, w) = (numbers(1, 3 * width), numbers(2, width));
        let found = at_every_level(|isa| {
            let mut out = vec![0.0; x.len()];
            rms_norm(isa, &x, &w, 1e-5, &mut out);
            out
        });
        assert_close(&found, &by_rows(&x, |row| normed(row, &w)), 1e-6);
        // Over itself, and one row alone.
        let mut over = x.clone();
        rms_norm_in_place(Isa::Portable, &mut over[..width], &w, 1e-5);
        rms_norm_in_place(Isa::Portable, &mut over[width..], &w, 1e-5);
        assert_eq!(bits(&over), bits(&found));
    }
}

#[test]
fn norms_of_zeros_are_zeros() {
    let found = at_every_level(|isa| {
        let mut x = vec![0.0; 40];
        rms_norm_in_place(isa, &mut x, &[2.0; 40], 1e-6);
        x
    });
    assert_eq!(found, [0.0; 40]);
}

#[test]
fn sums() {
    for width in WIDTHS {
        let (a, b, bias) = (numbers(1, 3 * width), numbers(2, 3 * width), numbers(3, width));
        let found = at_every_level(|isa| {
            let mut out = vec![0.0; a.len()];
            add(isa, &a, &b, &mut out);
            out
        });
        assert_eq!(found, a.iter().zip(&b).map(|(a, b)| a + b).collect::<Vec<_>>());
        let mut over = a.clone();
        add_in_place(Isa::Portable, &mut over, &b);
        assert_eq!(over, found);
        let found = at_every_level(|isa| {
            let mut y = a.clone();
            add_bias_in_place(isa, &mut y, &bias);
            y
        });
        assert_eq!(found, a.iter().zip(bias.iter().cycle()).map(|(a, b)| a + b).collect::<Vec<_>>());
    }
}

/// The definition of the graph in f64; the error function by the integral of its derivative.
fn activated(act: Act, g: f64, u: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match act {
        Act::Silu => g * sigmoid(g) * u,
        Act::Relu => g.max(0.0) * u,
        Act::Gelu => {
            let (steps, x) = (2000, g / 2f64.sqrt());
            let density = |i: i32| (-(x * (f64::from(i) + 0.5) / f64::from(steps)).powi(2)).exp();
            let erf = (0..steps).map(density).sum::<f64>() * x / f64::from(steps) * 2.0
                / std::f64::consts::PI.sqrt();
            g * (1.0 + erf) / 2.0 * u
        }
        Act::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044715 * g.powi(3));
            g * (1.0 + inner.tanh()) / 2.0 * u
        }
        Act::Clamped { alpha, limit } => {
            let (alpha, limit) = (f64::from(alpha), f64::from(limit));
            let (g, u) = (g.min(limit), u.clamp(-limit, limit));
            g * sigmoid(alpha * g) * (u + 1.0)
        }
    }
}

#[test]
fn activations() {
    let clamped = Act::Clamped { alpha: 1.702, limit: 2.5 };
    for act in [Act::Silu, Act::Gelu, Act::GeluTanh, Act::Relu, clamped] {
        let (gate, up) = (numbers(1, 500), numbers(2, 500));
        let found = at_every_level(|isa| {
            let mut out = vec![0.0; gate.len()];
            gated_act(isa, act, &gate, &up, &mut out);
            out
        });
        let pairs = gate.iter().zip(&up);
        let wanted = pairs.map(|(&g, &u)| activated(act, g.into(), u.into())).collect::<Vec<_>>();
        assert_close(&found, &wanted, 2e-6);
        let mut over = gate.clone();
        gated_act_in_place(Isa::Portable, act, &mut over, &up);
        assert_eq!(bits(&over), bits(&found));
        // What is no number is not hidden, and what is far out saturates.
        let mut far = [f32::NAN, 1.0, 100.0, -100.0];
        gated_act_in_place(Isa::Portable, act, &mut far, &[1.0, f32::NAN, 1.0, 1.0]);
        assert!(far[1].is_nan() && (far[0].is_nan() || act == Act::Relu), "{act}: {far:?}");
        assert!(far[2] >= 2.5 && far[3].abs() < 1e-6, "{act}: {far:?}");
    }
}

#[test]
fn softmax_of_rows() {
    for width in WIDTHS {
        let mut x = numbers(4, 3 * width);
        x[0] = if width > 1 { f32::NEG_INFINITY } else { 0.0 };
        let found = at_every_level(|isa| {
            let mut out = vec![0.0; x.len()];
            softmax(isa, &x, width, &mut out);
            out
        });
        let wanted = by_rows(&x, |row| {
            let sum = row.iter().map(|x| x.exp()).sum::<f64>();
            row.iter().map(|x| x.exp() / sum).collect()
        });
        assert_close(&found, &wanted, 1e-6);
        let mut over = x.clone();
        softmax_in_place(Isa::Portable, &mut over, width);
        assert_eq!(bits(&over), bits(&found));
    }
}

#[test]
fn peaks_are_made_of_pieces() {
    let mut x = numbers(5, 3 * CHUNK - 7);
    (x[5000], x[9000]) = (4.5, 4.5);
    let wanted = Peak::of_row(Isa::Portable, &x);
    assert_eq!((wanted.value, wanted.column), (4.5, 5000));
    let exact = wide(&x).iter().map(|x| x.exp()).sum::<f64>().ln();
    assert!((f64::from(wanted.log_sum_exp()) - exact).abs() < 1e-6, "{}", wanted.log_sum_exp());
    for isa in Isa::present() {
        let found = Peak::of_row(isa, &x);
        assert_eq!((found, found.sum.to_bits()), (wanted, wanted.sum.to_bits()), "{isa}");
    }
}

#[test]
fn peaks_of_little() {
    let of = |x: &[f32]| Peak::of_row(Isa::Portable, x);
    let hidden = vec![f32::NEG_INFINITY; CHUNK];
    assert_eq!(of(&hidden).log_sum_exp(), f32::NEG_INFINITY);
    let mut late = hidden.clone();
    late.extend([0.0, 0.0]);
    assert_eq!(of(&late), Peak { value: 0.0, column: CHUNK as u32, sum: 2.0 });
    assert_eq!(of(&[0.0, f32::NAN]).value, 0.0);
    let none = [vec![f32::NAN; CHUNK], vec![1.0]].concat();
    assert!(of(&[f32::NAN]).log_sum_exp().is_nan() && of(&none).log_sum_exp().is_nan());
}

#[test]
fn the_largest_are_chosen_in_order() {
    let sorted = |row: &[f32], k: usize| {
        let mut order = (0..row.len() as i32).collect::<Vec<_>>();
        order.sort_by(|&a, &b| (row[b as usize] + 0.0).total_cmp(&(row[a as usize] + 0.0)));
        order[..k].to_vec()
    };
    // Few different values, so that many are equal; zeros of both signs among them.
    let x = numbers(6, 3 * 128).iter().map(|x| (x * 2.0).round() * -0.5).collect::<Vec<_>>();
    for k in [1, 4, 127, 128] {
        let (mut values, mut columns) = (vec![0.0; 3 * k], vec![0; 3 * k]);
        top_k(k, &x, 128, &mut values, &mut columns);
        let rows = x.chunks_exact(128).zip(values.chunks_exact(k).zip(columns.chunks_exact(k)));
        for (row, (values, columns)) in rows {
            assert_eq!(columns, sorted(row, k));
            let wanted = columns.iter().map(|&c| row[c as usize]).collect::<Vec<_>>();
            assert_eq!(bits(values), bits(&wanted));
        }
    }
    let special = [-f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN, f32::INFINITY];
    let (mut values, mut columns) = ([0.0; 5], [0; 5]);
    top_k(5, &special, 5, &mut values, &mut columns);
    assert_eq!(columns, sorted(&special, 5)[..]);
}

#[test]
fn routes() {
    let scores = [0.0, f32::ln(3.0), -5.0, 0.0];
    let found = at_every_level(|isa| {
        let (mut weights, mut experts) = ([0.0; 2], [0; 2]);
        route(isa, 2, &scores, 4, &mut weights, &mut experts);
        assert_eq!(experts, [1, 0]);
        weights.to_vec()
    });
    assert_close(&found, &[0.75, 0.25], 1e-7);
}

/// Pairs turned one by one, with and without a norm before.
#[test]
fn heads_are_turned() {
    for (width, turned) in [(8, 4), (64, 32), (128, 64), (96, 40), (5, 2)] {
        let heads = Heads { count: 2, width, turned };
        let (x, w, frequencies) = (numbers(7, 3 * 2 * width), numbers(8, width), numbers(9, turned));
        let mut table = vec![0.0; 3 * 2 * turned];
        turns(&[0, 7, 4097], &frequencies, 1.25, &mut table);
        assert_eq!(bits(&table[2 * turned..][..1]), bits(&[(7.0 * frequencies[0]).cos() * 1.25]));
        let by_hand = |x: &[f32]| {
            let mut out = x.to_vec();
            for (place, head) in out.chunks_exact_mut(width).enumerate() {
                let (cosines, sines) = table[place / 2 * 2 * turned..][..2 * turned].split_at(turned);
                for i in 0..turned {
                    let (a, b) = (head[i], head[i + turned]);
                    head[i] = a * cosines[i] - b * sines[i];
                    head[i + turned] = b * cosines[i] + a * sines[i];
                }
            }
            out
        };
        let found = at_every_level(|isa| {
            let mut out = vec![0.0; x.len()];
            rope(isa, &x, &table, heads, &mut out);
            out
        });
        assert_eq!(bits(&found), bits(&by_hand(&x)));
        let mut over = x.clone();
        rope_in_place(Isa::Portable, &mut over, &table, heads);
        assert_eq!(bits(&over), bits(&found));

        let found = at_every_level(|isa| {
            let mut out = vec![0.0; x.len()];
            norm_rope(isa, &x, &w, 1e-6, &table, heads, &mut out);
            out
        });
        let mut normed = x.clone();
        rms_norm_in_place(Isa::Portable, &mut normed, &w, 1e-6);
        assert_eq!(bits(&found), bits(&by_hand(&normed)));
        norm_rope_in_place(Isa::Portable, &mut over, &w, 1e-6, &table, heads);
    }
}

/// A table that was never packed.
struct Plain<'a>(DType, &'a [u8]);

impl Table for Plain<'_> {
    fn dtype(&self) -> DType {
        self.0
    }
    fn rows(&self) -> usize {
        3
    }
    fn unpack_row(&self, row: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.1[row * bytes.len()..][..bytes.len()]);
    }
}

#[test]
fn tokens_become_rows() {
    let x = numbers(10, 3 * 64);
    for dtype in [DType::F32, DType::BF16, DType::Q8_0] {
        let mut packed = vec![0; dtype.bytes_of(x.len()).unwrap()];
        blocks::encode(dtype, &x, &mut packed);
        let mut wanted = vec![0.0; x.len()];
        blocks::decode(dtype, &packed, &mut wanted);
        let (mut row, mut out) = (vec![0; packed.len() / 3], vec![0.0; 2 * 64]);
        embed(&Plain(dtype, &packed), &[2, 1], &mut row, &mut out);
        assert_eq!(out, [&wanted[128..], &wanted[64..128]].concat());
    }
    embed(&Plain(DType::F32, &[]), &[], &mut [], &mut []);
}

#[test]
#[should_panic(expected = "token 3 is none of 3")]
fn tokens_outside_the_table_are_refused() {
    embed(&Plain(DType::F32, &[0; 12]), &[3], &mut [0; 4], &mut [0.0]);
}

//! Gated activations, element by element.

use graph::Act;
use simd::{Isa, Simd, erf, sigmoid, tanh};

use super::lanes::{Zip, zip, zip_in_place};

/// `out = act(gate, up)`.
///
/// # Panics
/// Where the lengths differ.
pub fn gated_act(isa: Isa, act: Act, gate: &[f32], up: &[f32], out: &mut [f32]) {
    zip(isa, act, gate, up, out);
}

/// `gate = act(gate, up)`.
///
/// # Panics
/// Where the lengths differ.
pub fn gated_act_in_place(isa: Isa, act: Act, gate: &mut [f32], up: &[f32]) {
    zip_in_place(isa, act, gate, up);
}

impl Zip for Act {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, gate: S::F, up: S::F) -> S::F {
        let one = s.splat(1.0);
        match self {
            Act::Silu => s.mul(s.mul(gate, sigmoid(s, gate)), up),
            Act::Relu => s.mul(s.max(gate, s.splat(0.0)), up),
            Act::Gelu => {
                let inner = erf(s, s.mul(gate, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
                half_gated(s, gate, inner, up)
            }
            Act::GeluTanh => {
                // tanh(sqrt(2 / pi) (g + 0.044715 g^3))
                let cube = s.mul(s.mul(gate, gate), gate);
                let inner = s.fma(cube, s.splat(0.044_715), gate);
                half_gated(s, gate, tanh(s, s.mul(inner, s.splat(0.797_884_6))), up)
            }
            Act::Clamped { alpha, limit } => {
                // What is no number stands second, and so stays none.
                let gate = s.min(s.splat(limit), gate);
                let up = s.max(s.splat(-limit), s.min(s.splat(limit), up));
                let gate = s.mul(gate, sigmoid(s, s.mul(gate, s.splat(alpha))));
                s.mul(gate, s.add(up, one))
            }
        }
    }
}

/// `gate (1 + inner) / 2 up`
#[inline(always)]
fn half_gated<S: Simd>(s: S, gate: S::F, inner: S::F, up: S::F) -> S::F {
    let inner = s.mul(s.add(inner, s.splat(1.0)), s.splat(0.5));
    s.mul(s.mul(gate, inner), up)
}

//! A mixture of experts, expert by expert: the tokens that chose it go through it together.

use graph::Act;
use tensor::Value;

use super::products::{linear_columns, turned};

/// See [`graph::Op::ExpertFfn`] for the arguments.
pub fn expert_ffn(act: Act, biased: bool, args: &[&Value]) -> Value {
    let &[x, weights, chosen, gate, up, down, ref biases @ ..] = args else {
        unreachable!("typed: six arguments or nine")
    };
    let width = x.shape[1];
    let k = chosen.shape[1];
    let biases = biases.iter().map(|bias| bias.to_f32()).collect::<Vec<_>>();
    let bias = |layer: usize, expert: usize, len: usize| {
        biased.then(|| &biases[layer][expert * len..(expert + 1) * len])
    };
    let mut out = vec![0.0; x.as_f32s().len()];
    for expert in 0..gate.shape[0] {
        let pairs = (0..chosen.as_i32s().len()).filter(|&pair| chosen.as_i32s()[pair] == expert as i32);
        let pairs = pairs.collect::<Vec<_>>();
        if pairs.is_empty() {
            continue;
        }
        let inputs = pairs.iter().flat_map(|pair| &x.as_f32s()[pair / k * width..][..width]);
        let inputs = inputs.copied().collect::<Vec<_>>();
        let inner = gate.shape[1];
        let layer = |x: &[f32], w: &Value, place: usize, len: usize| {
            turned(&linear_columns(x, w, expert * len, len, bias(place, expert, len)), len, pairs.len())
        };
        let (gated, raised) = (layer(&inputs, gate, 0, inner), layer(&inputs, up, 1, inner));
        let hidden = gated.iter().zip(&raised).map(|(&g, &u)| activate(act, g, u)).collect::<Vec<_>>();
        let outputs = layer(&hidden, down, 2, width);
        for (&pair, y) in pairs.iter().zip(outputs.chunks_exact(width)) {
            let weight = weights.as_f32s()[pair];
            out[pair / k * width..][..width].iter_mut().zip(y).for_each(|(out, y)| *out += weight * y);
        }
    }
    Value::f32s(x.shape, &out)
}

fn activate(act: Act, gate: f32, up: f32) -> f32 {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    match act {
        Act::Silu => gate * sigmoid(gate) * up,
        Act::Relu => gate.max(0.0) * up,
        Act::Gelu => {
            gate * 0.5 * (1.0 + super::elementwise::erf(gate * std::f32::consts::FRAC_1_SQRT_2)) * up
        }
        Act::GeluTanh => {
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (gate + 0.044715 * gate * gate * gate);
            gate * 0.5 * (1.0 + inner.tanh()) * up
        }
        Act::Clamped { alpha, limit } => {
            let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
            gate * sigmoid(alpha * gate) * (up + 1.0)
        }
    }
}

//! Attention, token by token and head by head: scores of the positions a token may see, softmax, weighted values.

use tensor::{Value, blocks};

use super::products::dot;
use super::rows::softmax_row;

/// See [`graph::Op::Attention`] for the arguments.
pub fn attention(scale: f32, window: Option<u32>, args: &[&Value], page_len: usize) -> Value {
    let &[q, k, v, positions, sequences, table, base, ref sinks @ ..] = args else {
        unreachable!("typed: seven arguments or eight")
    };
    let (heads, width) = (q.shape[1], q.shape[2]);
    let group = heads / k.shape[2];
    let sinks = sinks.first().map(|sinks| sinks.to_f32());
    let pages = Pages { table, base, page_len };
    let mut out = vec![0.0; q.as_f32s().len()];
    for (t, out) in out.chunks_exact_mut(heads * width).enumerate() {
        let (position, sequence) = (positions.as_i32s()[t] as usize, sequences.as_i32s()[t] as usize);
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
        let slots = (first..=position).map(|j| pages.slot(sequence, j)).collect::<Vec<_>>();
        let (keys, values) = (slots_as_f32(k, &slots), slots_as_f32(v, &slots));
        for (h, out) in out.chunks_exact_mut(width).enumerate() {
            let q = &q.as_f32s()[(t * heads + h) * width..][..width];
            let head = |slot: &[f32]| h / group * width..h / group * width + width.min(slot.len());
            let mut scores = keys.iter().map(|key| scale * dot(q, &key[head(key)])).collect::<Vec<_>>();
            softmax_row(&mut scores, sinks.as_ref().map(|sinks| sinks[h]));
            for (probability, value) in scores.iter().zip(&values) {
                out.iter_mut().zip(&value[head(value)]).for_each(|(out, v)| *out += probability * v);
            }
        }
    }
    Value::f32s(q.shape, &out)
}

/// Where the positions of each sequence lie.
struct Pages<'a> {
    table: &'a Value,
    base: &'a Value,
    page_len: usize,
}

impl Pages<'_> {
    fn slot(&self, sequence: usize, position: usize) -> usize {
        let column = position / self.page_len - self.base.as_i32s()[sequence] as usize;
        let page = self.table.as_i32s()[sequence * self.table.shape[1] + column] as usize;
        page * self.page_len + position % self.page_len
    }
}

/// Some slots of a state, all heads, decoded.
fn slots_as_f32(state: &Value, slots: &[usize]) -> Vec<Vec<f32>> {
    let len: usize = state.shape[2..].iter().product();
    let bytes = state.dtype.bytes_of(len).expect("a slot is whole blocks");
    let all = state.data.as_slice::<u8>();
    let decoded = |&slot: &usize| {
        let mut out = vec![0.0; len];
        blocks::decode(state.dtype, &all[slot * bytes..(slot + 1) * bytes], &mut out);
        out
    };
    slots.iter().map(decoded).collect()
}

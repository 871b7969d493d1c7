//! Mixtures of experts.

use graph::{Act, BackendError, ValueId};

use super::products::Chosen;
use super::{Lowering, c_type, format, with_act, with_bias};
use crate::launch::Arg;
use crate::source::Source;

impl Lowering<'_> {
    pub(super) fn expert_ffn(
        &mut self,
        act: Act,
        biased: bool,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let &[x, weights, chosen, gate, up, down, ref biases @ ..] = args else {
            unreachable!("typed: six arguments or nine")
        };
        let [tokens, choices] = self.shape(chosen)[..] else { unreachable!("typed: two axes") };
        let [experts, inner, width] = self.shape(gate)[..] else { unreachable!("typed: three axes") };
        let bias = |place: usize| biased.then(|| biases[place]);
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let dtypes = |places: &[usize]| {
            places.iter().map(|&place| bias(place).map(|bias| self.dtype(bias))).collect::<Vec<_>>()
        };
        let pairs = tokens * choices;
        let packed = [gate, up, down].iter().all(|&w| self.tile_format(w).is_some());
        if packed && pairs < 1 << 16 {
            let [out, x, weights, ids] = [out, x, weights, chosen].map(|value| self.arg(value));
            let bytes = |width: usize| (pairs * width * size_of::<f32>()).next_multiple_of(256);
            self.scratch(bytes(inner) + bytes(width));
            let (hidden, y) = (Arg::Scratch(0), Arg::Scratch(bytes(inner)));
            let biased = |range: std::ops::Range<usize>| if biased { &biases[range] } else { &[] };
            let first = Chosen {
                experts,
                share: choices,
                x,
                w: &[gate, up],
                biases: biased(0..2),
                act,
                out: hidden,
                rows: pairs,
                width,
                features: inner,
                ids,
            };
            let second = Chosen {
                share: 1,
                x: hidden,
                w: &[down],
                biases: biased(2..3),
                out: y,
                width: inner,
                features: width,
                ..first
            };
            self.few_chosen(&first);
            self.few_chosen(&second);
            let source = Source::new("combine").with("WIDTH", width).with("CHOICES", choices);
            self.push_each(source, tokens * width, vec![out, y, weights, Arg::Int(tokens as i64)]);
            return Ok(());
        }

        let source = Source::new("expert_hidden").with("WIDTH", width).with("FEATURES", inner);
        let source = source.with("CHOICES", choices).with("FORMAT", format(self.dtype(gate)));
        let source = with_bias(source.with("FORMAT2", format(self.dtype(up))), &dtypes(&[0, 1]));
        let first = [self.arg(x), self.arg(chosen), self.arg(gate), self.arg(up)];
        let first_biases = [or_null(bias(0)), or_null(bias(1))];
        let second = Source::new("expert_out").with("WIDTH", inner).with("FEATURES", width);
        let second = second.with("CHOICES", choices).with("FORMAT", format(self.dtype(down)));
        let second = second.with("BIASED", u8::from(biased));
        let second = second.with("BIAS", bias(2).map_or("float", |bias| c_type(self.dtype(bias))));
        let last = [self.arg(weights), self.arg(chosen), self.arg(down), or_null(bias(2))];
        let out = self.arg(out);

        let hidden = self.scratch(pairs * inner * size_of::<f32>());
        let given = [hidden].into_iter().chain(first).chain(first_biases).chain([Arg::Int(pairs as i64)]);
        self.push_warps(with_act(source, act), pairs * inner, given.collect());
        let given = [out, hidden].into_iter().chain(last).chain([Arg::Int(tokens as i64)]);
        self.push_warps(second, tokens * width, given.collect());
        Ok(())
    }
}

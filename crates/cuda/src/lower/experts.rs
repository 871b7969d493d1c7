//! Mixtures of experts.

use graph::{Act, BackendError, ValueId};

use super::products::Chosen;
use super::{Lowering, c_type, format, with_act, with_bias};
use crate::launch::Arg;
use crate::source::Source;

/// Most choices of a step whose experts are read choice by choice: blocks along an axis of a grid.
const PAIRS_MAX: usize = (1 << 16) - 1;

/// The arguments of a mixture, and what is given.
struct Experts<'a> {
    x: ValueId,
    weights: ValueId,
    chosen: ValueId,
    gate: ValueId,
    up: ValueId,
    down: ValueId,
    /// Three, or none.
    biases: &'a [ValueId],
    act: Act,
    out: ValueId,
    tokens: usize,
    choices: usize,
    experts: usize,
    inner: usize,
    width: usize,
}

impl Lowering<'_> {
    pub(super) fn expert_ffn(
        &mut self,
        act: Act,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let &[x, weights, chosen, gate, up, down, ref biases @ ..] = args else {
            unreachable!("typed: six arguments or nine")
        };
        let [tokens, choices] = self.shape(chosen)[..] else { unreachable!("typed: two axes") };
        let [experts, inner, width] = self.shape(gate)[..] else { unreachable!("typed: three axes") };
        let of = Experts {
            x,
            weights,
            chosen,
            gate,
            up,
            down,
            biases,
            act,
            out,
            tokens,
            choices,
            experts,
            inner,
            width,
        };
        let packed = [gate, up, down].iter().all(|&w| self.tile_format(w).is_some());
        if packed && tokens * choices > PAIRS_MAX {
            return Err(
                self.refuse(format!("a step has at most {PAIRS_MAX} choices of experts; use shorter chunks"))
            );
        }
        if packed {
            self.packed_experts(&of)
        } else {
            self.found_experts(&of)
        }
        Ok(())
    }

    /// Experts in tiles: two products for each choice, and their sum.
    fn packed_experts(&mut self, of: &Experts<'_>) {
        let pairs = of.tokens * of.choices;
        let bytes = |width: usize| (pairs * width * size_of::<f32>()).next_multiple_of(256);
        self.scratch(bytes(of.inner) + bytes(of.width));
        let (hidden, y) = (Arg::Scratch(0), Arg::Scratch(bytes(of.inner)));
        let first = Chosen {
            experts: of.experts,
            share: of.choices,
            x: self.arg(of.x),
            w: &[of.gate, of.up],
            biases: of.biases.get(..2).unwrap_or(&[]),
            act: of.act,
            out: hidden,
            rows: pairs,
            width: of.width,
            features: of.inner,
            ids: self.arg(of.chosen),
        };
        let second = Chosen {
            share: 1,
            x: hidden,
            w: &[of.down],
            biases: of.biases.get(2..3).unwrap_or(&[]),
            out: y,
            width: of.inner,
            features: of.width,
            ..first
        };
        self.few_chosen(&first);
        self.few_chosen(&second);
        let source = Source::new("combine").with("WIDTH", of.width).with("CHOICES", of.choices);
        let args = vec![self.arg(of.out), y, self.arg(of.weights), Arg::Int(of.tokens as i64)];
        self.push_each(source, of.tokens * of.width, args);
    }

    /// Experts as they were found.
    fn found_experts(&mut self, of: &Experts<'_>) {
        let pairs = of.tokens * of.choices;
        let bias = |place: usize| of.biases.get(place).copied();
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let dtypes = [0, 1].map(|place| bias(place).map(|bias| self.dtype(bias)));

        let source = Source::new("expert_hidden").with("WIDTH", of.width).with("FEATURES", of.inner);
        let source = source.with("CHOICES", of.choices).with("FORMAT", format(self.dtype(of.gate)));
        let source = with_bias(source.with("FORMAT2", format(self.dtype(of.up))), &dtypes);
        let first = [self.arg(of.x), self.arg(of.chosen), self.arg(of.gate), self.arg(of.up)];
        let first_biases = [or_null(bias(0)), or_null(bias(1)), Arg::Int(pairs as i64)];
        let second = Source::new("expert_out").with("WIDTH", of.inner).with("FEATURES", of.width);
        let second = second.with("CHOICES", of.choices).with("FORMAT", format(self.dtype(of.down)));
        let second = second.with("BIASED", u8::from(!of.biases.is_empty()));
        let second = second.with("BIAS", bias(2).map_or("float", |bias| c_type(self.dtype(bias))));
        let last = [self.arg(of.weights), self.arg(of.chosen), self.arg(of.down), or_null(bias(2))];
        let out = self.arg(of.out);

        let hidden = self.scratch(pairs * of.inner * size_of::<f32>());
        let given = [hidden].into_iter().chain(first).chain(first_biases).collect();
        self.push_warps(with_act(source, of.act), pairs * of.inner, given);
        let given = [out, hidden].into_iter().chain(last).chain([Arg::Int(of.tokens as i64)]).collect();
        self.push_warps(second, of.tokens * of.width, given);
    }
}

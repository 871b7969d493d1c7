//! Mixtures of experts.

use graph::{Act, BackendError, BinaryOp, Op, ValueId};

use super::products::Chosen;
use super::{Lowering, c_type, format, with_act, with_bias};
use crate::launch::Arg;
use crate::options::Precision;
use crate::source::Source;

/// Most experts that `group.cu` counts.
const EXPERTS_MAX: usize = 1024;
/// Most choices of a step whose experts are read choice by choice: blocks along an axis of a grid.
const PAIRS_MAX: usize = (1 << 16) - 1;

/// The arguments of a mixture, and what is given.
struct Experts<'a> {
    x: ValueId,
    weights: ValueId,
    chosen: ValueId,
    /// Gate, up and down.
    matrices: [ValueId; 3],
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
            matrices: [gate, up, down],
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
        let pairs = tokens * choices;
        if packed && pairs > PAIRS_MAX {
            let reason = format!("a step has at most {PAIRS_MAX} choices of experts; use shorter chunks");
            return Err(self.refuse(reason));
        }
        let rounds = self.options.precision == Precision::Bf16 && self.dtype(gate) == self.dtype(up);
        let together = pairs > experts || self.options.invariant;
        match packed {
            // From where experts are read more than once on average, their choices go together; always where bits may not
            // depend on that.
            true if rounds && together && experts <= EXPERTS_MAX => self.grouped_experts(&of),
            true => self.packed_experts(&of),
            false => self.found_experts(&of),
        }
        Ok(())
    }

    /// Experts in tiles, each read once for all that chose it: choices put together by expert, rows rounded, two products of
    /// many rows, and the sum of each token's.
    fn grouped_experts(&mut self, of: &Experts<'_>) {
        let pairs = of.tokens * of.choices;
        let mut bytes = 0;
        let mut region = |count: usize, each: usize| {
            let at = bytes;
            bytes = (bytes + count * each).next_multiple_of(256);
            Arg::Scratch(at)
        };
        let (order, starts) = (region(pairs, 4), region(of.experts + 1, 4));
        let rounded_x = [region(of.tokens * of.width, 2), region(of.tokens * of.width / 32, 4)];
        let rounded_hidden = [region(pairs * of.inner, 2), region(pairs * of.inner / 32, 4)];
        let (hidden, y) = (region(pairs * of.inner, 4), region(pairs * of.width, 4));
        self.scratch(bytes);
        let chosen = self.arg(of.chosen);
        let args = vec![order, starts, chosen, Arg::Int(pairs as i64)];
        self.push(Source::new("group").with("EXPERTS", of.experts), [1, 1, 1], 1024, args);
        let first = self.first(of, hidden);
        self.round_rows(first.x, of.tokens, of.width, rounded_x);
        self.many_chosen(&first, rounded_x, [order, starts]);
        self.round_rows(hidden, pairs, of.inner, rounded_hidden);
        let second = self.second(of, hidden, y);
        self.many_chosen(&second, rounded_hidden, [order, starts]);
        self.combine(of, y);
    }

    /// Experts in tiles: two products for each choice, and their sum.
    fn packed_experts(&mut self, of: &Experts<'_>) {
        let pairs = of.tokens * of.choices;
        let bytes = |width: usize| (pairs * width * size_of::<f32>()).next_multiple_of(256);
        self.scratch(bytes(of.inner) + bytes(of.width));
        let (hidden, y) = (Arg::Scratch(0), Arg::Scratch(bytes(of.inner)));
        let (first, second) = (self.first(of, hidden), self.second(of, hidden, y));
        self.few_chosen(&first);
        self.few_chosen(&second);
        self.combine(of, y);
    }

    /// The product that makes the hidden values of each choice.
    fn first<'a>(&self, of: &'a Experts<'_>, hidden: Arg) -> Chosen<'a> {
        Chosen {
            experts: of.experts,
            share: of.choices,
            x: self.arg(of.x),
            w: &of.matrices[..2],
            biases: of.biases.get(..2).unwrap_or(&[]),
            act: of.act,
            out: hidden,
            tokens: of.tokens,
            rows: of.tokens * of.choices,
            width: of.width,
            features: of.inner,
            ids: self.arg(of.chosen),
        }
    }

    /// The product that makes what each choice gives.
    fn second<'a>(&self, of: &'a Experts<'_>, hidden: Arg, y: Arg) -> Chosen<'a> {
        Chosen {
            share: 1,
            x: hidden,
            w: &of.matrices[2..],
            biases: of.biases.get(2..3).unwrap_or(&[]),
            out: y,
            width: of.inner,
            features: of.width,
            ..self.first(of, hidden)
        }
    }

    fn combine(&mut self, of: &Experts<'_>, y: Arg) {
        let added = self.added_behind(of);
        let source = Source::new("combine").with("WIDTH", of.width).with("CHOICES", of.choices);
        let source = source.with("ADDED", u8::from(added.is_some()));
        let (out, added) = added.map_or((of.out, Arg::Null), |[other, sum]| (sum, self.arg(other)));
        let args = vec![self.arg(out), y, self.arg(of.weights), added, Arg::Int(of.tokens as i64)];
        self.push_each(source, of.tokens * of.width, args);
    }

    /// What the node behind adds to what experts give, and its sum, where nobody else wants that: it is then done with them.
    fn added_behind(&mut self, of: &Experts<'_>) -> Option<[ValueId; 2]> {
        let (own, behind) = (&self.plan.nodes[self.planned], self.plan.nodes.get(self.planned + 1)?);
        let Op::Binary(BinaryOp::Add) = behind.op else { return None };
        let (other, sum) = match behind.args[..] {
            [a, b] if a == of.out && b != of.out => (b, behind.results[0]),
            [a, b] if b == of.out && a != of.out => (a, behind.results[0]),
            _ => return None,
        };
        let is_kept = own.named && self.kept.contains(&own.path);
        let reads = self.plan.nodes.iter().flat_map(|node| &node.args).filter(|&&arg| arg == of.out).count();
        let alike = [other, sum].iter().all(|&value| self.shape(value) == self.shape(of.out));
        // Element by element: what is added may be what is overwritten, but not the weights that others still read.
        let clear = !self.overlap(sum, of.weights)
            && (!self.overlap(sum, other) || self.plan.place(sum) == self.plan.place(other));
        let fits = !is_kept && reads == 1 && alike && clear && !self.is_seen_otherwise(self.planned, of.out);
        fits.then(|| {
            self.done.insert(self.planned + 1);
            [other, sum]
        })
    }

    /// Experts as they were found.
    fn found_experts(&mut self, of: &Experts<'_>) {
        let pairs = of.tokens * of.choices;
        let [gate, up, down] = of.matrices;
        let bias = |place: usize| of.biases.get(place).copied();
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let dtypes = [0, 1].map(|place| bias(place).map(|bias| self.dtype(bias)));

        let source = Source::new("expert_hidden").with("WIDTH", of.width).with("FEATURES", of.inner);
        let source = source.with("CHOICES", of.choices).with("FORMAT", format(self.dtype(gate)));
        let source = with_bias(source.with("FORMAT2", format(self.dtype(up))), &dtypes);
        let first = [self.arg(of.x), self.arg(of.chosen), self.arg(gate), self.arg(up)];
        let first_biases = [or_null(bias(0)), or_null(bias(1)), Arg::Int(pairs as i64)];
        let second = Source::new("expert_out").with("WIDTH", of.inner).with("FEATURES", of.width);
        let second = second.with("CHOICES", of.choices).with("FORMAT", format(self.dtype(down)));
        let second = second.with("BIASED", u8::from(!of.biases.is_empty()));
        let second = second.with("BIAS", bias(2).map_or("float", |bias| c_type(self.dtype(bias))));
        let last = [self.arg(of.weights), self.arg(of.chosen), self.arg(down), or_null(bias(2))];
        let out = self.arg(of.out);

        let hidden = self.scratch(pairs * of.inner * size_of::<f32>());
        let given = [hidden].into_iter().chain(first).chain(first_biases).collect();
        self.push_warps(with_act(source, of.act), pairs * of.inner, given);
        let given = [out, hidden].into_iter().chain(last).chain([Arg::Int(of.tokens as i64)]).collect();
        self.push_warps(second, of.tokens * of.width, given);
    }
}

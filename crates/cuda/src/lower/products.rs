//! Products of rows with weights.

use graph::{Act, BackendError, ValueId};

use super::{Lowering, format, with_act, with_bias};
use crate::launch::Arg;
use crate::source::Source;

/// Rows of x that share a reading of the weights.
const ROWS: usize = 8;
/// Warps of a block.
const WARPS: usize = 4;

/// A product: what is multiplied, what is added, what becomes of it.
struct Product {
    x: ValueId,
    w: ValueId,
    up: Option<ValueId>,
    biases: [Option<ValueId>; 2],
    add: Option<ValueId>,
    act: Act,
    out: ValueId,
}

impl Lowering<'_> {
    /// `(x, w, bias?, added?)`.
    pub(super) fn linear(&mut self, args: &[ValueId], added: bool, out: ValueId) -> Result<(), BackendError> {
        let add = added.then(|| args[args.len() - 1]);
        let bias = (args.len() - usize::from(added) == 3).then(|| args[2]);
        let (x, w) = (args[0], args[1]);
        self.product(&Product { x, w, up: None, biases: [bias, None], add, act: Act::Silu, out });
        Ok(())
    }

    /// `(x, gate, up, gate bias?, up bias?)`.
    pub(super) fn gated_linear(
        &mut self,
        act: Act,
        biased: bool,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let biases = if biased { [Some(args[3]), Some(args[4])] } else { [None, None] };
        self.product(&Product { x: args[0], w: args[1], up: Some(args[2]), biases, add: None, act, out });
        Ok(())
    }

    fn product(&mut self, product: &Product) {
        let Product { x, w, up, biases, add, act, out } = *product;
        let (rows, width) = self.rows(x);
        let features = self.rows(out).1;
        let source = Source::new("linear").with("WIDTH", width).with("FEATURES", features).with("ROWS", ROWS);
        let source = source.with("FORMAT", format(self.dtype(w)));
        let source = source.with("FORMAT2", format(self.dtype(up.unwrap_or(w))));
        let source = with_bias(source, &biases.map(|bias| bias.map(|bias| self.dtype(bias))));
        let source = source.with("ADDED", u8::from(add.is_some())).with("GATED", u8::from(up.is_some()));
        let source = with_act(source, act);
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let args = vec![
            self.arg(out),
            self.arg(x),
            self.arg(w),
            or_null(up),
            or_null(biases[0]),
            or_null(biases[1]),
            or_null(add),
            Arg::Int(rows as i64),
        ];
        let grid = [features.div_ceil(WARPS), rows.div_ceil(ROWS), 1];
        self.push(source, grid, WARPS * 32, args);
    }
}

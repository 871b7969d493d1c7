//! Kernels over rows: embedding, norms, rotation, activations.

use graph::{Act, BackendError, ValueId};

use super::{Lowering, c_type, format, with_act};
use crate::launch::Arg;
use crate::source::{Source, float};

impl Lowering<'_> {
    pub(super) fn embed(&mut self, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let (tokens, width) = self.rows(out);
        let vocab = self.shape(args[1])[0];
        let source = match self.tile_format(args[1]) {
            Some(format) => {
                Source::new("embed_tiles").with("FORMAT", format).with("WIDTH", width).with("FEATURES", vocab)
            }
            None => Source::new("embed").with("FORMAT", format(self.dtype(args[1]))).with("WIDTH", width),
        };
        let args = vec![
            self.arg(out),
            self.arg(args[0]),
            self.arg(args[1]),
            self.previous(args[0]),
            Arg::Int(tokens as i64),
        ];
        self.push_rows(source, tokens, width.div_ceil(32), args);
        Ok(())
    }

    pub(super) fn rms_norm(&mut self, eps: f32, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let (rows, width) = self.rows(out);
        let source = Source::new("rms_norm").with("WIDTH", width).with("EPS", float(eps));
        let source = source.with("W", c_type(self.dtype(args[1])));
        let args = vec![self.arg(out), self.arg(args[0]), self.arg(args[1]), Arg::Int(rows as i64)];
        self.push_rows(source, rows, width, args);
        Ok(())
    }

    /// Rotation, after a norm of each head where there is an epsilon.
    pub(super) fn rope(
        &mut self,
        scale: f32,
        norm: Option<f32>,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let [tokens, heads, width] = self.shape(out)[..] else { unreachable!("typed: three axes") };
        let (x, w, rest) = match norm {
            Some(_) => (args[0], Some(args[1]), &args[2..]),
            None => (args[0], None, &args[1..]),
        };
        let source = Source::new("rope").with("HEADS", heads).with("WIDTH", width);
        let source = source.with("TURNED", self.count(rest[1])).with("SCALE", float(scale));
        let source = source.with("NORMED", u8::from(norm.is_some())).with("EPS", float(norm.unwrap_or(0.0)));
        let source = source.with("W", w.map_or("float", |w| c_type(self.dtype(w))));
        let args = vec![
            self.arg(out),
            self.arg(x),
            w.map_or(Arg::Null, |w| self.arg(w)),
            self.arg(rest[0]),
            self.arg(rest[1]),
            Arg::Int(tokens as i64),
        ];
        self.push_warps(source, tokens * heads, args);
        Ok(())
    }

    pub(super) fn gated_act(&mut self, act: Act, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let count = self.count(out);
        let args = vec![self.arg(out), self.arg(args[0]), self.arg(args[1]), Arg::Int(count as i64)];
        self.push_each(with_act(Source::new("gated_act"), act), count, args);
        Ok(())
    }
}

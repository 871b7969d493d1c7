//! Kernels over rows: embedding, norms, rotation, activations.

use graph::{Act, BackendError, Op, Planned, ValueId};

use super::{Lowering, c_type, format, with_act};
use crate::launch::Arg;
use crate::source::{Source, float};

/// A rotation of heads.
struct Turn {
    x: ValueId,
    /// The norm before it.
    w: Option<ValueId>,
    eps: f32,
    scale: f32,
    positions: ValueId,
    frequencies: ValueId,
    out: ValueId,
}

impl Turn {
    /// Whether both turn by the same angles, normed or not.
    fn like(&self, other: &Turn) -> bool {
        let angles = |turn: &Turn| (turn.positions, turn.frequencies, turn.scale.to_bits());
        let normed = |turn: &Turn| (turn.w.is_some(), turn.eps.to_bits());
        angles(self) == angles(other) && normed(self) == normed(other)
    }
}

/// Keys and values that are written behind a rotation.
struct Written {
    keys: ValueId,
    values: ValueId,
    slots: ValueId,
    /// The rotation of the keys.
    turn: Turn,
    v: ValueId,
}

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

    /// Rotation, after a norm of each head where there is one; with what stands behind it where that is an attention's.
    pub(super) fn rope(&mut self, planned: usize) -> Result<(), BackendError> {
        let turn = self.turn(&self.plan.nodes[planned]).expect("the node is a rotation");
        if let Some(written) = self.written(planned, &turn) {
            self.done.extend(planned + 1..planned + 4);
            self.rope_write(&turn, &written);
            return Ok(());
        }
        let [tokens, heads, _] = self.shape(turn.out)[..] else { unreachable!("typed: three axes") };
        let source = self.with_turn(Source::new("rope").with("HEADS", heads), &turn);
        let source = source.with("W", self.norm_type(&turn));
        let args = vec![
            self.arg(turn.out),
            self.arg(turn.x),
            turn.w.map_or(Arg::Null, |w| self.arg(w)),
            self.arg(turn.positions),
            self.arg(turn.frequencies),
            Arg::Int(tokens as i64),
        ];
        self.push_warps(source, tokens * heads, args);
        Ok(())
    }

    fn turn(&self, node: &Planned) -> Option<Turn> {
        let (args, out) = (&node.args, node.results[0]);
        match node.op {
            Op::Rope { scale } => {
                let (x, positions, frequencies) = (args[0], args[1], args[2]);
                Some(Turn { x, w: None, eps: 0.0, scale, positions, frequencies, out })
            }
            Op::NormRope { eps, scale } => {
                let (x, w, positions, frequencies) = (args[0], Some(args[1]), args[2], args[3]);
                Some(Turn { x, w, eps, scale, positions, frequencies, out })
            }
            _ => None,
        }
    }

    /// The keys and values behind a rotation of queries, where all of it is one launch: keys turned alike and read by nobody
    /// but the write behind them, and values written to the same slots.
    fn written(&self, planned: usize, queries: &Turn) -> Option<Written> {
        let [rotation, keys, values] = self.plan.nodes.get(planned + 1..planned + 4)? else { return None };
        let turn = self.turn(rotation)?;
        let dense = |node: &Planned| node.op == Op::StateWrite && self.dtype(node.args[0]).is_float();
        let kept = rotation.named && self.kept.contains(&rotation.path);
        let reads =
            self.plan.nodes.iter().flat_map(|node| &node.args).filter(|&&arg| arg == turn.out).count();
        let alike = turn.like(queries) && keys.args[1..].first() == values.args[1..].first();
        let alone = reads == 1
            && keys.args.get(2) == Some(&turn.out)
            && !self.is_seen_otherwise(planned + 2, turn.out);
        let fits = dense(keys) && dense(values) && alike && alone && !kept;
        fits.then(|| Written {
            keys: keys.args[0],
            values: values.args[0],
            slots: keys.args[1],
            turn,
            v: values.args[2],
        })
    }

    fn rope_write(&mut self, queries: &Turn, written: &Written) {
        let [tokens, heads, _] = self.shape(queries.out)[..] else { unreachable!("typed: three axes") };
        let kv_heads = self.axes_from(written.keys, 2)[0];
        let source = Source::new("rope_write").with("HEADS", heads).with("KV_HEADS", kv_heads);
        let source = self.with_turn(source, queries);
        let source = source.with("W", self.norm_type(queries)).with("W2", self.norm_type(&written.turn));
        let source = source.with("KEY", c_type(self.dtype(written.keys)));
        let source = source.with("VALUE", c_type(self.dtype(written.values)));
        let norm = |turn: &Turn| turn.w.map_or(Arg::Null, |w| self.arg(w));
        let args = vec![
            self.arg(queries.out),
            self.arg(written.keys),
            self.arg(written.values),
            self.arg(queries.x),
            self.arg(written.turn.x),
            self.arg(written.v),
            norm(queries),
            norm(&written.turn),
            self.arg(queries.positions),
            self.arg(written.slots),
            self.arg(queries.frequencies),
            Arg::Int(tokens as i64),
        ];
        self.push_warps(source, tokens * (heads + 2 * kv_heads), args);
    }

    fn with_turn(&self, source: Source, turn: &Turn) -> Source {
        let width = self.rows(turn.out).1;
        let source = source.with("WIDTH", width).with("TURNED", self.count(turn.frequencies));
        let source = source.with("SCALE", float(turn.scale)).with("NORMED", u8::from(turn.w.is_some()));
        source.with("EPS", float(turn.eps))
    }

    fn norm_type(&self, turn: &Turn) -> &'static str {
        turn.w.map_or("float", |w| c_type(self.dtype(w)))
    }

    pub(super) fn gated_act(&mut self, act: Act, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let count = self.count(out);
        let args = vec![self.arg(out), self.arg(args[0]), self.arg(args[1]), Arg::Int(count as i64)];
        self.push_each(with_act(Source::new("gated_act"), act), count, args);
        Ok(())
    }
}

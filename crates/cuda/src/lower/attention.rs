//! Attention over pages.

use graph::{BackendError, ValueId};
use tensor::DType;

use super::{Lowering, c_type, format};
use crate::launch::Arg;
use crate::options::Precision;
use crate::source::{Source, float};

/// Which argument the sinks are, where there are any.
const SINK: usize = 7;
/// Threads of a block of `attend.cu`.
const THREADS: usize = 128;
/// Values of queries that a lane holds.
const LANE_VALUES: usize = 64;
/// Rows of a block of `attend_many.cu`: tokens times the heads that share keys.
const MANY_ROWS: usize = 64;
/// The widest head whose sums its registers hold.
const MANY_WIDTH: usize = 128;
/// Fewest tokens that are worth it.
const MANY_TOKENS_MIN: usize = 16;
/// Blocks that a step should have, so that every processor has some.
const BLOCKS_WANTED: usize = 264;
/// Fewest positions that are worth a part of their own.
const PART: usize = 128;
/// Most parts.
const PARTS_MAX: usize = 64;

impl Lowering<'_> {
    pub(super) fn attention(
        &mut self,
        scale: f32,
        window: Option<u32>,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let &[q, k, v, _, _, table, _, ref sinks @ ..] = args else {
            unreachable!("typed: seven arguments or eight")
        };
        let [tokens, heads, width] = self.shape(q)[..] else { unreachable!("typed: three axes") };
        let kv_heads = self.axes_from(k, 2)[0];
        for state in [k, v] {
            // A lane reads part of one block.
            if self.dtype(state).is_block() && !(width.is_multiple_of(32) && 256 % width == 0) {
                return Err(
                    self.refuse(format!("heads of {width} do not fit blocks of {}", self.dtype(state)))
                );
            }
        }
        let pages = self.shape(table)[1];
        if self.is_for_tensor_cores([tokens, heads / kv_heads, width], [k, v]) {
            return self.attention_of_many(scale, window, args, out);
        }
        // Heads whose queries and sums the registers of eight lanes hold.
        let group = heads / kv_heads;
        let at_once = (LANE_VALUES / width.div_ceil(8)).clamp(1, group);
        let blocks = kv_heads * group.div_ceil(at_once);
        let parts = parts(tokens * blocks, pages * self.page_len, window);
        let sink = sinks.first().copied();
        let source = self.attending("attend", [heads, kv_heads, width], scale, window, sink);
        let source = source.with("KEYS", format(self.dtype(k))).with("VALUES", format(self.dtype(v)));
        let source = source.with("PARTS", parts).with("AT_ONCE", at_once);
        let partial = if parts > 1 { tokens * heads * parts * (width + 2) * size_of::<f32>() } else { 0 };
        let partial = self.scratch(partial);
        let given = self.attended(&[self.arg(out), partial], args);
        self.push(source, [blocks, parts, tokens], THREADS, given);
        if parts > 1 {
            let source = Source::new("merge").with("HEADS", heads).with("WIDTH", width).with("PARTS", parts);
            let source = self.with_sinks(source, sink);
            let given = vec![self.arg(out), partial, self.sink(sink)];
            self.push(source, [heads, tokens, 1], super::threads_for(width), given);
        }
        Ok(())
    }
}

impl Lowering<'_> {
    /// Whether tensor cores take it: many tokens, with keys and values of bf16.
    fn is_for_tensor_cores(&self, [tokens, group, width]: [usize; 3], states: [ValueId; 2]) -> bool {
        let fits = width.is_multiple_of(16) && width <= MANY_WIDTH && group <= MANY_ROWS;
        let rounded = self.options.precision == Precision::Bf16;
        let states = states.iter().all(|&state| self.dtype(state) == DType::BF16);
        rounded && states && fits && !self.decodes && tokens >= MANY_TOKENS_MIN
    }

    fn attention_of_many(
        &mut self,
        scale: f32,
        window: Option<u32>,
        args: &[ValueId],
        out: ValueId,
    ) -> Result<(), BackendError> {
        let [tokens, heads, width] = self.shape(args[0])[..] else { unreachable!("typed: three axes") };
        let kv_heads = self.axes_from(args[1], 2)[0];
        let sink = args.get(SINK).copied();
        let source = self.attending("attend_many", [heads, kv_heads, width], scale, window, sink);
        let given = self.attended(&[self.arg(out)], args);
        // Two pieces of 64 keys and values of bf16, rows 8 elements apart.
        let shared = 2 * 2 * 64 * (width + 8) * 2;
        let grid = [tokens.div_ceil(MANY_ROWS / (heads / kv_heads)), kv_heads, 1];
        self.push_sharing(source, grid, THREADS, shared, given);
        Ok(())
    }

    /// What both kernels are made with.
    fn attending(
        &self,
        kernel: &'static str,
        [heads, kv_heads, width]: [usize; 3],
        scale: f32,
        window: Option<u32>,
        sink: Option<ValueId>,
    ) -> Source {
        let source = Source::new(kernel).with("HEADS", heads).with("KV_HEADS", kv_heads).with("WIDTH", width);
        let source = source.with("PAGE_LEN", self.page_len).with("SCALE", float(scale));
        self.with_sinks(source.with("WINDOW", window.unwrap_or(0)), sink)
    }

    fn with_sinks(&self, source: Source, sink: Option<ValueId>) -> Source {
        let of = sink.map_or("float", |sink| c_type(self.dtype(sink)));
        source.with("SINKS", u8::from(sink.is_some())).with("SINK", of)
    }

    /// What both kernels are given behind what they write: queries to bases, sinks, pages of a sequence, tokens.
    fn attended(&self, written: &[Arg], args: &[ValueId]) -> Vec<Arg> {
        let (pages, tokens) = (self.shape(args[5])[1], self.shape(args[0])[0]);
        let values = args[..SINK].iter().map(|&value| self.arg(value));
        let rest = [self.sink(args.get(SINK).copied()), Arg::Int(pages as i64), Arg::Int(tokens as i64)];
        written.iter().copied().chain(values).chain(rest).collect()
    }

    fn sink(&self, sink: Option<ValueId>) -> Arg {
        sink.map_or(Arg::Null, |sink| self.arg(sink))
    }
}

/// Into how many parts the positions of a token are cut.
fn parts(blocks: usize, context: usize, window: Option<u32>) -> usize {
    let seen = context.min(window.map_or(usize::MAX, |window| window as usize));
    let wanted = BLOCKS_WANTED.div_ceil(blocks.max(1));
    wanted.min(seen.div_ceil(PART)).clamp(1, PARTS_MAX)
}

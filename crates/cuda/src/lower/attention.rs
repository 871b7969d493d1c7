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
/// Positions of a part where bits may not depend on how many parts there are.
const PART_FIXED: usize = 256;

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
        let (parts, part) = self.parts(tokens * blocks, pages * self.page_len, window);
        let whole = parts == 1;
        let sink = sinks.first().copied();
        let source = self.attending("attend", [heads, kv_heads, width], scale, window, sink);
        let source = source.with("KEYS", format(self.dtype(k))).with("VALUES", format(self.dtype(v)));
        let source = source.with("WHOLE", u8::from(whole)).with("PART", part).with("AT_ONCE", at_once);
        // Behind the sums of a part are its largest and its mass, and parts begin on 16 bytes.
        let partial = tokens * heads * parts * (width + 2).next_multiple_of(4) * size_of::<f32>();
        let partial = self.scratch(if whole { 0 } else { partial });
        // Counts that are zero again when a launch has ended.
        let arrived = match whole {
            true => Arg::Null,
            false => Arg::Table(self.entry(&vec![0; tokens * blocks * size_of::<u32>()])),
        };
        let given = self.attended(&[self.arg(out), partial, arrived], args);
        self.push(source, [blocks, parts, tokens], THREADS, given);
        Ok(())
    }
}

impl Lowering<'_> {
    /// Whether tensor cores take it: many tokens, with keys and values of bf16.
    fn is_for_tensor_cores(&self, [tokens, group, width]: [usize; 3], states: [ValueId; 2]) -> bool {
        let fits = width.is_multiple_of(16) && width <= MANY_WIDTH && group <= MANY_ROWS;
        let rounded = self.options.precision == Precision::Bf16;
        let states = states.iter().all(|&state| self.dtype(state) == DType::BF16);
        rounded && states && fits && !self.options.invariant && !self.decodes && tokens >= MANY_TOKENS_MIN
    }

    /// Into how many parts the positions of a token are cut, each by a block, and how long a part is where that is fixed: one
    /// where there are blocks enough, which then goes through its parts.
    fn parts(&self, blocks: usize, context: usize, window: Option<u32>) -> (usize, usize) {
        let seen = context.min(window.map_or(usize::MAX, |window| window as usize));
        let wanted = BLOCKS_WANTED.div_ceil(blocks.max(1));
        match self.options.invariant {
            true if wanted > 1 => (seen.div_ceil(PART_FIXED).max(1), PART_FIXED),
            true => (1, PART_FIXED),
            false => (wanted.min(seen.div_ceil(PART)).clamp(1, PARTS_MAX), 0),
        }
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

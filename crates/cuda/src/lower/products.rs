//! Products of rows with weights.

use graph::{Act, BackendError, Op, Place, Planned, ValueId};
use tensor::DType;

use super::{Lowering, c_type, format, with_act, with_bias};
use crate::launch::Arg;
use crate::options::Precision;
use crate::source::{Source, float};
use crate::weights::Form;

/// Rows of x that share a reading of weights that are not packed.
const ROWS: usize = 8;
/// Warps of a block.
const WARPS: usize = 4;
/// Columns of a tensor core's right side: rows of x times the terms that each is split into.
const COLUMNS: usize = 8;
/// Threads of a block of `few.cu`.
const FEW_THREADS: usize = 256;
/// Most blocks of a launch whose blocks keep x: two for each processor.
const FEW_BLOCKS: usize = 264;
/// Bytes that blocks may share on every GPU from Ampere on.
const SHARED_LEAST: u32 = 99 << 10;
/// Bytes of shared sums that `few.cu` declares, and some that the driver keeps.
const FEW_SUMS: usize = 10 << 10;

/// Most rows of x that a warp of `many.cu` multiplies.
const MANY_TOKENS: usize = 64;
/// Features of a block of `many.cu`.
const MANY_FEATURES: usize = 128;
/// Blocks that a launch should have.
const MANY_BLOCKS: usize = 132;
/// Fewest tiles of columns that are worth a part of their own, and most parts.
const PART_TILES: usize = 8;
const PARTS_MAX: usize = 8;

/// A product: what is multiplied, what is added, what becomes of it.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub x: ValueId,
    pub w: ValueId,
    pub up: Option<ValueId>,
    pub biases: [Option<ValueId>; 2],
    pub add: Option<ValueId>,
    pub act: Act,
    pub out: ValueId,
}

/// A norm that a product does on its way.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    /// What is normed.
    x: ValueId,
    /// The weights.
    w: ValueId,
    eps: f32,
}

impl Lowering<'_> {
    /// A product, with those behind it that multiply the same rows.
    pub(super) fn products(&mut self, planned: usize) -> Result<(), BackendError> {
        let product = self.product_of(&self.plan.nodes[planned]).expect("the node is a product");
        if !self.is_packed(&product) {
            self.plain(&product);
            return Ok(());
        }
        let mut all = vec![product];
        while all.len() < 3 {
            let next = planned + all.len();
            match self.plan.nodes.get(next).and_then(|node| self.product_of(node)) {
                Some(other) if self.joins(&all, &other) => {
                    self.done.insert(next);
                    all.push(other);
                }
                _ => break,
            }
        }
        if self.are_many(&all) {
            self.many(&all)
        } else {
            self.few(&all)
        }
        Ok(())
    }

    /// Whether products have more rows than tensor cores take at once, which are then rounded; all have where bits may not
    /// depend on how many there are.
    fn are_many(&self, all: &[Product]) -> bool {
        let alike = |product: &Product| product.up.is_none_or(|up| self.dtype(up) == self.dtype(product.w));
        let rows = self.rows(all[0].x).0;
        self.options.precision == Precision::Bf16
            && (rows > COLUMNS || self.options.invariant)
            && all.iter().all(alike)
    }

    /// Whether a norm is left to the products behind it, all of which read what it reads before anything overwrites that.
    pub(super) fn folds(&mut self, planned: usize, eps: f32) -> bool {
        let node = &self.plan.nodes[planned];
        let (args, out) = (&node.args, node.results[0]);
        // Whether it can be left depends on where values lie, and that on how large the step is.
        if self.options.invariant || (node.named && self.kept.contains(&node.path)) {
            return false;
        }
        let [x, w] = args[..] else { return false };
        let behind = || &self.plan.nodes[planned + 1..];
        let products = behind().iter().map_while(|node| self.product_of(node));
        let readers =
            products.take_while(|product| product.x == out && self.is_packed(product)).collect::<Vec<_>>();
        let reads = behind().iter().flat_map(|node| &node.args).filter(|&&arg| arg == out).count();
        let fits = readers.len() == reads && reads > 0 && !self.is_seen_otherwise(planned, out);
        let clear = readers.iter().all(|product| !self.overlap(product.out, x));
        if fits && clear {
            self.folded.insert(out, Norm { x, w, eps });
        }
        fits && clear
    }

    /// Whether a node's result is read under another name, before something else takes its place, or is given by the whole.
    pub(super) fn is_seen_otherwise(&self, planned: usize, out: ValueId) -> bool {
        let is_same = |value: &ValueId| self.plan.place(*value) == self.plan.place(out);
        for node in &self.plan.nodes[planned + 1..] {
            if node.args.iter().any(|arg| *arg != out && is_same(arg)) {
                return true;
            }
            if node.results.iter().any(|&result| self.overlap(result, out)) {
                return false;
            }
        }
        self.plan.results.iter().any(is_same)
    }

    fn product_of(&self, node: &Planned) -> Option<Product> {
        let (args, out) = (&node.args, node.results[0]);
        let plain = |bias: Option<ValueId>, add| Product {
            x: args[0],
            w: args[1],
            up: None,
            biases: [bias, None],
            add,
            act: Act::Silu,
            out,
        };
        match node.op {
            Op::Linear => Some(plain(args.get(2).copied(), None)),
            Op::LinearAdd { biased } => Some(plain(biased.then(|| args[2]), args.last().copied())),
            Op::GatedLinear { act, biased } => {
                let biases = if biased { [Some(args[3]), Some(args[4])] } else { [None, None] };
                Some(Product { x: args[0], w: args[1], up: Some(args[2]), biases, add: None, act, out })
            }
            _ => None,
        }
    }

    /// Whether all weights of a product are in tiles.
    fn is_packed(&self, product: &Product) -> bool {
        let packed = |value| match self.plan.place(value) {
            Place::Weight(weight) => matches!(self.forms[weight], Form::Tiles(_)),
            _ => false,
        };
        packed(product.w) && product.up.is_none_or(packed)
    }

    /// Whether a product can be done with some before it: the same rows, nothing but biases added, and its result overwrites
    /// nothing that is read or written meanwhile.
    fn joins(&self, all: &[Product], other: &Product) -> bool {
        let plain = |product: &Product| product.up.is_none() && product.add.is_none();
        let rows = self.folded.get(&other.x).map_or(other.x, |norm| norm.x);
        other.x == all[0].x
            && self.is_packed(other)
            && plain(other)
            && all.iter().all(|product| plain(product) && !self.overlap(product.out, other.out))
            && !self.overlap(other.out, other.x)
            && !self.overlap(other.out, rows)
            && all.iter().all(|product| product.biases[0].is_some() == other.biases[0].is_some())
    }

    fn few(&mut self, all: &[Product]) {
        let first = all[0];
        let norm = self.folded.get(&first.x).copied();
        let x = norm.map_or(first.x, |norm| norm.x);
        let (rows, width) = self.rows(first.x);
        let (at_once, terms) = self.at_once(rows, width);
        let weights = all.iter().map(|product| product.w).chain(first.up).collect::<Vec<_>>();
        let biases = all.iter().map(|product| product.biases[0]).chain([first.biases[1]]).collect::<Vec<_>>();
        let features = all.iter().map(|product| self.rows(product.out).1).collect::<Vec<_>>();

        let mut source = Source::new("few").with("WIDTH", width).with("ROWS", at_once).with("TERMS", terms);
        source = source.with("SETS", all.len());
        let of = |names: [&'static str; 3], place: usize| names[place];
        for place in 0..3 {
            let w = weights.get(place).copied().unwrap_or(first.w);
            let bias = biases.get(place).copied().flatten().map_or("float", |bias| c_type(self.dtype(bias)));
            source = source
                .with(of(["FORMAT0", "FORMAT1", "FORMAT2"], place), format!("Tile{}", format(self.dtype(w))))
                .with(of(["BIAS0", "BIAS1", "BIAS2"], place), bias)
                .with(of(["FEATURES0", "FEATURES1", "FEATURES2"], place), features.get(place).unwrap_or(&0));
        }
        source = source.with("BIASED", u8::from(first.biases[0].is_some()));
        source =
            source.with("ADDED", u8::from(first.add.is_some())).with("GATED", u8::from(first.up.is_some()));
        source = source.with("NORMED", u8::from(norm.is_some()));
        source = source.with("EPS", float(norm.map_or(0.0, |norm| norm.eps)));
        source = source.with("NORM", norm.map_or("float", |norm| c_type(self.dtype(norm.w))));
        source = source.with("EXPERTS", 0).with("SHARE", 1);
        source = source.with("EARLY", u8::from(self.options.early));
        let source = with_act(source, first.act);

        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let mut args =
            (0..3).map(|place| or_null(all.get(place).map(|product| product.out))).collect::<Vec<_>>();
        args.extend([self.arg(x), or_null(norm.map(|norm| norm.w))]);
        args.extend((0..3).map(|place| or_null(weights.get(place).copied())));
        args.extend((0..3).map(|place| or_null(biases.get(place).copied().flatten())));
        args.extend([or_null(first.add), Arg::Null, Arg::Int(rows as i64)]);
        let tiles = features.iter().map(|features| features.div_ceil(16)).sum::<usize>();
        let grid = [tiles.min(FEW_BLOCKS), rows.div_ceil(at_once), 1];
        self.push_sharing(source, grid, FEW_THREADS, shared_bytes(at_once * terms, width), args);
    }

    /// Rows rounded once, and then each product by itself.
    fn many(&mut self, all: &[Product]) {
        let norm = self.folded.get(&all[0].x).copied();
        let (rows, width) = self.rows(all[0].x);
        let source = Source::new("round_rows").with("WIDTH", width).with("NORMED", u8::from(norm.is_some()));
        let source = source.with("EPS", float(norm.map_or(0.0, |norm| norm.eps)));
        let source = source.with("NORM", norm.map_or("float", |norm| c_type(self.dtype(norm.w))));
        let sums_at = (rows * width * 2).next_multiple_of(256);
        let parts_at = (sums_at + rows * width / 32 * size_of::<f32>()).next_multiple_of(256);
        let rounded = [Arg::Scratch(0), Arg::Scratch(sums_at)];
        self.scratch(parts_at);
        let x = self.arg(norm.map_or(all[0].x, |norm| norm.x));
        let w = norm.map_or(Arg::Null, |norm| self.arg(norm.w));
        let args = vec![rounded[0], rounded[1], x, w, Arg::Int(rows as i64)];
        self.push_rows(source, rows, width, args);
        for product in all {
            if self.is_for_library(product) {
                self.by_library(product, rounded[0], parts_at);
            } else {
                self.many_one(product, rounded, parts_at);
            }
        }
    }

    fn many_one(&mut self, product: &Product, rounded: [Arg; 2], parts_at: usize) {
        let Product { x, w, up, biases, add, out, .. } = *product;
        let ((rows, width), features) = (self.rows(x), self.rows(out).1);
        let (tiles, token_warps) = (row_tiles(rows), if rows > MANY_TOKENS { 2 } else { 1 });
        let at_once = if up.is_some() { MANY_FEATURES / 2 } else { MANY_FEATURES };
        let blocks = [features.div_ceil(at_once), rows.div_ceil(8 * tiles * token_warps)];
        let alone = if self.options.invariant { blocks[0] } else { blocks[0] * blocks[1] };
        let wanted = MANY_BLOCKS / alone.max(1);
        let parts = wanted.min(width / 64 / PART_TILES).clamp(1, PARTS_MAX);

        let source = Source::new("many").with("WIDTH", width).with("N_TILES", tiles);
        let source = source.with("TOKEN_WARPS", token_warps).with("EXPERTS", 0).with("SHARE", 1);
        let source = source.with("FORMAT", format!("Tile{}", format(self.dtype(w))));
        let source = self.with_epilogue(source, product, parts);
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let last = [or_null(biases[0]), or_null(biases[1]), or_null(add)];
        let summed = Arg::Scratch(parts_at);
        let mut args = vec![self.arg(out), summed, rounded[0], rounded[1], self.arg(w), or_null(up)];
        args.extend(last.into_iter().chain([Arg::Null, Arg::Null, Arg::Int(rows as i64)]));
        self.push(source, [blocks[0], blocks[1], parts], 128 * token_warps, args);
        if parts > 1 {
            self.sum_parts(product, parts, parts_at);
        }
    }

    /// What is done with the sums of a product.
    fn with_epilogue(&self, source: Source, product: &Product, parts: usize) -> Source {
        let Product { up, biases, add, act, out, .. } = *product;
        let bias = |place: usize| biases[place].map_or("float", |bias| c_type(self.dtype(bias)));
        let source = source.with("FEATURES", self.rows(out).1).with("PARTS", parts);
        let source = source.with("BIASED", u8::from(biases[0].is_some())).with("BIAS0", bias(0));
        let source = source.with("BIAS1", bias(1)).with("ADDED", u8::from(add.is_some()));
        with_act(source.with("GATED", u8::from(up.is_some())), act)
    }

    /// Finishes a product whose sums lie in so many parts from a byte of what nodes share on.
    pub(super) fn sum_parts(&mut self, product: &Product, parts: usize, at: usize) {
        let Product { up, biases, add, out, .. } = *product;
        let (rows, features) = self.rows(out);
        self.scratch(at + parts * (1 + usize::from(up.is_some())) * rows * features * size_of::<f32>());
        let or_null = |value: Option<ValueId>| value.map_or(Arg::Null, |value| self.arg(value));
        let mut args = vec![self.arg(out), Arg::Scratch(at), or_null(biases[0]), or_null(biases[1])];
        args.extend([or_null(add), Arg::Int(rows as i64)]);
        let source = self.with_epilogue(Source::new("sum_parts"), product, parts);
        self.push_each(source, rows * features, args);
    }

    /// Rows that are multiplied together, and the terms that each is split into: three are all of an f32.
    fn at_once(&self, rows: usize, width: usize) -> (usize, usize) {
        let mut columns = COLUMNS;
        while columns > 1 && shared_bytes(columns, width) > self.few_shared() {
            columns -= 1;
        }
        let (rows, terms) = match (self.options.precision, rows) {
            (Precision::F32, _) => (rows.min(2), 3),
            (Precision::Bf16, _) if self.options.invariant => (rows.min(COLUMNS), 1),
            (Precision::Bf16, ..=2) => (rows, 3),
            (Precision::Bf16, ..=4) => (rows, 2),
            (Precision::Bf16, _) => (rows.min(COLUMNS), 1),
        };
        let terms = terms.min(columns);
        (rows.min(columns / terms).max(1), terms)
    }

    /// Most bytes that a block shares for x, beside the sums that `few.cu` declares.
    fn few_shared(&self) -> usize {
        let device = self.options.shared_bytes.max(SHARED_LEAST) as usize;
        device - FEW_SUMS
    }

    /// A product with weights as they were found.
    fn plain(&mut self, product: &Product) {
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

    /// Whether two values of the arena share bytes.
    pub(super) fn overlap(&self, a: ValueId, b: ValueId) -> bool {
        let range = |value: ValueId| match self.plan.place(value) {
            Place::Arena { offset } => {
                let bytes = self.dtype(value).bytes_of(self.count(value)).unwrap_or(usize::MAX - offset);
                Some((offset, offset + bytes))
            }
            _ => None,
        };
        range(a).zip(range(b)).is_some_and(|(a, b)| a.0 < b.1 && b.0 < a.1)
    }

    /// The packed form in which a weight is kept, by the name that `tiles.cuh` gives it.
    pub(super) fn tile_format(&self, w: ValueId) -> Option<String> {
        let Place::Weight(weight) = self.plan.place(w) else { return None };
        let dtype: DType = self.dtype(w);
        matches!(self.forms[weight], Form::Tiles(_)).then(|| format!("Tile{}", format(dtype)))
    }
}

impl Lowering<'_> {
    /// One product of `few.cu`, or a gated one, for choices of experts: of each row of `out` its own expert's.
    pub(super) fn few_chosen(&mut self, chosen: &Chosen<'_>) {
        let (_, terms) = self.at_once(1, chosen.width);
        let Chosen { experts, share, x, w, biases, act, out, rows, width, features, ids, .. } = *chosen;
        let of = |names: [&'static str; 3], place: usize| names[place];
        let mut source =
            Source::new("few").with("WIDTH", width).with("ROWS", 1).with("TERMS", terms).with("SETS", 1);
        for place in 0..3 {
            let matrix = w.get(place).or(w.first()).expect("there is a matrix");
            let bias = biases.get(place).map_or("float", |bias| c_type(self.dtype(*bias)));
            source = source
                .with(
                    of(["FORMAT0", "FORMAT1", "FORMAT2"], place),
                    format!("Tile{}", format(self.dtype(*matrix))),
                )
                .with(of(["BIAS0", "BIAS1", "BIAS2"], place), bias)
                .with(
                    of(["FEATURES0", "FEATURES1", "FEATURES2"], place),
                    if place == 0 { features } else { 0 },
                );
        }
        source = source.with("BIASED", u8::from(!biases.is_empty())).with("ADDED", 0);
        source = source.with("GATED", u8::from(w.len() == 2)).with("NORMED", 0).with("EPS", float(0.0));
        source = source.with("NORM", "float").with("EXPERTS", experts).with("SHARE", share);
        source = source.with("EARLY", u8::from(self.options.early));
        let matrix = |place: usize| w.get(place).map_or(Arg::Null, |w| self.arg(*w));
        let bias = |place: usize| biases.get(place).map_or(Arg::Null, |bias| self.arg(*bias));
        let args = vec![
            out,
            Arg::Null,
            Arg::Null,
            x,
            Arg::Null,
            matrix(0),
            matrix(1),
            Arg::Null,
            bias(0),
            bias(1),
            Arg::Null,
            Arg::Null,
            ids,
            Arg::Int(rows as i64),
        ];
        let tiles = features.div_ceil(16);
        let grid = [tiles.min(FEW_BLOCKS), rows, 1];
        self.push_sharing(with_act(source, act), grid, FEW_THREADS, shared_bytes(terms, width), args);
    }
}

impl Lowering<'_> {
    /// Rows as bf16, with their sums over 32 columns.
    pub(super) fn round_rows(&mut self, x: Arg, rows: usize, width: usize, rounded: [Arg; 2]) {
        let source = Source::new("round_rows").with("WIDTH", width).with("NORMED", 0).with("EPS", float(0.0));
        let args = vec![rounded[0], rounded[1], x, Arg::Null, Arg::Int(rows as i64)];
        self.push_rows(source.with("NORM", "float"), rows, width, args);
    }

    /// As `few_chosen`, of rounded rows and of choices put together by expert.
    pub(super) fn many_chosen(&mut self, chosen: &Chosen<'_>, rounded: [Arg; 2], [order, starts]: [Arg; 2]) {
        let Chosen { experts, share, w, biases, act, out, rows, width, features, .. } = *chosen;
        let bias_type = |place: usize| biases.get(place).map_or("float", |bias| c_type(self.dtype(*bias)));
        let at_once = if w.len() == 2 { MANY_FEATURES / 2 } else { MANY_FEATURES };
        // An expert is chosen by a token once.
        let tiles = row_tiles(chosen.tokens);
        let source = Source::new("many").with("WIDTH", width).with("FEATURES", features);
        let source = source.with("N_TILES", tiles).with("TOKEN_WARPS", 1);
        let source = source.with("PARTS", 1).with("FORMAT", format!("Tile{}", format(self.dtype(w[0]))));
        let source = source.with("BIASED", u8::from(!biases.is_empty())).with("BIAS0", bias_type(0));
        let source =
            source.with("BIAS1", bias_type(1)).with("ADDED", 0).with("GATED", u8::from(w.len() == 2));
        let source = with_act(source.with("EXPERTS", experts).with("SHARE", share), act);
        let matrix = |place: usize| w.get(place).map_or(Arg::Null, |w| self.arg(*w));
        let bias = |place: usize| biases.get(place).map_or(Arg::Null, |bias| self.arg(*bias));
        let args = vec![
            out,
            Arg::Null,
            rounded[0],
            rounded[1],
            matrix(0),
            matrix(1),
            bias(0),
            bias(1),
            Arg::Null,
            order,
            starts,
            Arg::Int(rows as i64),
        ];
        // Every expert may have a block of rows that is not full.
        let grid = [features.div_ceil(at_once), rows / (8 * tiles) + experts, 1];
        self.push(source, grid, 128, args);
    }
}

/// A product of choices with their experts' weights.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'a> {
    /// Experts there are.
    pub experts: usize,
    /// Choices that share a row of x.
    pub share: usize,
    pub x: Arg,
    /// One matrix, or the two of a gated product.
    pub w: &'a [ValueId],
    /// As many, or none.
    pub biases: &'a [ValueId],
    pub act: Act,
    pub out: Arg,
    /// Tokens, and their choices.
    pub tokens: usize,
    pub rows: usize,
    pub width: usize,
    pub features: usize,
    /// The expert of each choice.
    pub ids: Arg,
}

/// How many tiles of eight rows a warp of `many.cu` multiplies, where there are so many.
fn row_tiles(rows: usize) -> usize {
    rows.div_ceil(8).next_power_of_two().min(MANY_TOKENS / 8)
}

/// Bytes that a block of `few.cu` shares: rows of bf16, a little apart, and sums over 32 columns.
fn shared_bytes(columns: usize, width: usize) -> usize {
    columns * (width + 8) * 2 + width / 32 * COLUMNS * 4
}

//! How a page keeps its slots.
//!
//! Attention streams keys with positions across a vector and values with elements across it. A page holds a part for
//! each head; a part the page's positions, sixteen at a time: a *block*. The rows of a block are elements of keys, each
//! at sixteen positions, or positions of values, each with all elements of the head; attention reads either from front
//! to back. Rows of bf16 lie in pairs, element by element: two multiplications in one vector, a row of a tile. Before the
//! codes of q8_0 lie their scales: for each 32 elements those of the sixteen positions.

use std::ops::Range;

use tensor::DType;

/// Positions of a block, and elements that are written at once.
pub const CELL: usize = 16;

/// Positions whose keys, or values, of a head lie together: 128 KiB of 64 elements in bf16.
const RUN: usize = 1024;

/// What attention does with a state decides how its pages are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Slot after slot, as the graph says.
    Plain,
    /// Blocks whose columns are positions.
    Keys,
    /// Blocks whose rows are positions.
    Values,
}

/// The pages of a state.
#[derive(Clone, Copy, Debug)]
pub struct PageShape {
    /// Type of the elements.
    pub dtype: DType,
    /// Their order.
    pub layout: Layout,
    /// Slots of a page.
    pub page_len: usize,
    /// Heads of a slot.
    pub heads: usize,
    /// Elements of a head.
    pub width: usize,
    /// Pages whose parts of a head lie together, in blocks.
    run: usize,
    /// Bytes from a page's part of one head to that of the next, in blocks.
    head_stride: usize,
}

/// Where elements of one slot lie in their block: `count` runs of `bytes`, `stride` bytes apart.
struct Runs {
    first: usize,
    count: usize,
    bytes: usize,
    stride: usize,
}

/// Walks over a slot's units: the elements of a head that are written at once.
struct Units {
    /// Bytes of one in the slot, those of its scale among them.
    bytes: usize,
    scale_bytes: usize,
    /// Where this head's block begins in the page, and from there to the next head's.
    block: usize,
    head_stride: usize,
    /// The first scale and the first element of the block, and from one unit's elements to the next one's.
    scale: usize,
    codes: usize,
    step: usize,
    /// Which of its head's this unit is.
    cell: usize,
    cells: usize,
}

impl Units {
    /// Where the next one's scale and elements are in the page, but for what [`PageShape::runs`] adds.
    #[inline(always)]
    fn next(&mut self) -> [usize; 2] {
        if self.cell == self.cells {
            (self.cell, self.block) = (0, self.block + self.head_stride);
        }
        let at = [
            self.block + self.scale + self.cell * CELL * self.scale_bytes,
            self.block + self.codes + self.cell * self.step,
        ];
        self.cell += 1;
        at
    }
}

impl PageShape {
    /// The layout for a use, where blocks can hold it; else plain.
    pub fn new(dtype: DType, wanted: Layout, page_len: usize, heads: usize, width: usize) -> PageShape {
        let unit = if dtype.is_float() { CELL } else { dtype.block_len() };
        let fits = width.is_multiple_of(unit) && page_len.is_multiple_of(CELL);
        let layout = if fits { wanted } else { Layout::Plain };
        let shape = PageShape { dtype, layout, page_len, heads, width, run: 1, head_stride: 0 };
        PageShape { head_stride: shape.part_bytes(), ..shape }
    }

    /// The same in a pool: of so many pages that follow one another the parts lie together that belong to one head, since
    /// attention follows a head through the pages of a sequence, which mostly lie in order. More pages would be longer
    /// stretches of memory, and more of it touched by a sequence of a few tokens.
    pub fn pooled(self, pages: usize) -> PageShape {
        let run = (RUN / self.page_len.max(1)).clamp(1, pages.max(1));
        PageShape { run, head_stride: run * self.part_bytes(), ..self }
    }

    /// Pages of a pool of so many, filled up to whole runs.
    pub fn pool_pages(&self, pages: usize) -> usize {
        pages.next_multiple_of(self.run)
    }

    /// Where a page begins in its pool.
    pub fn page_at(&self, page: usize) -> usize {
        match self.layout {
            Layout::Plain => page * self.page_bytes(),
            _ => page / self.run * self.run * self.page_bytes() + page % self.run * self.part_bytes(),
        }
    }

    /// Bytes of a page that belong to one head, in blocks.
    pub fn part_bytes(&self) -> usize {
        self.bytes(self.page_len * self.width)
    }

    /// Elements of a slot.
    pub fn slot_len(&self) -> usize {
        self.heads * self.width
    }

    /// Bytes of so many elements.
    pub fn bytes(&self, elements: usize) -> usize {
        elements / self.dtype.block_len() * self.dtype.block_bytes()
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.page_len * self.bytes(self.slot_len())
    }

    /// Where a block of a head begins in a page.
    pub fn block_at(&self, head: usize, block: usize) -> usize {
        head * self.head_stride + self.bytes(block * CELL * self.width)
    }

    /// Copies a page.
    ///
    /// # Safety
    /// Both are pages of a pool of this shape, and nobody else touches them.
    pub unsafe fn copy(&self, from: *const u8, to: *mut u8) {
        let (parts, bytes) = match self.layout {
            Layout::Plain => (1, self.page_bytes()),
            _ => (self.heads, self.part_bytes()),
        };
        for part in 0..parts {
            // SAFETY: each part lies in the pool.
            unsafe { to.add(part * self.head_stride).copy_from(from.add(part * self.head_stride), bytes) }
        }
    }

    /// Writes a part of the encoded slot at `place` of a page, from element `first` on: of blocks, sixteen
    /// elements or a multiple.
    ///
    /// # Safety
    /// The page may be written, and nobody else touches this slot of it.
    ///
    /// # Panics
    /// Where the place is not of the page, or the part not of the slot.
    pub unsafe fn put(&self, page: *mut u8, place: usize, first: usize, part: &[u8]) {
        self.assert_part(place, first, part.len());
        if self.layout == Layout::Plain {
            // SAFETY: the part lies in the page, as asserted.
            return unsafe {
                page.add(self.plain_at(place, first)).copy_from_nonoverlapping(part.as_ptr(), part.len())
            };
        }
        let (runs, mut units) = (self.runs(place % CELL), self.units(place, first));
        for part in part.chunks_exact(units.bytes) {
            let (scale, part) = part.split_at(units.scale_bytes);
            let [scale_at, at] = units.next();
            // SAFETY: the block lies in the page, and scale and runs in the block.
            unsafe {
                page.add(scale_at).copy_from_nonoverlapping(scale.as_ptr(), scale.len());
                runs.scatter(part.as_ptr(), page.add(at));
            }
        }
    }

    /// Reads a part of the encoded slot at `place` of a page, as `put` writes it.
    ///
    /// # Safety
    /// The page may be read, and nobody writes this slot of it.
    ///
    /// # Panics
    /// As [`PageShape::put`].
    pub unsafe fn take(&self, page: *const u8, place: usize, first: usize, part: &mut [u8]) {
        self.assert_part(place, first, part.len());
        if self.layout == Layout::Plain {
            // SAFETY: the part lies in the page, as asserted.
            return unsafe {
                part.as_mut_ptr().copy_from_nonoverlapping(page.add(self.plain_at(place, first)), part.len())
            };
        }
        let (runs, mut units) = (self.runs(place % CELL), self.units(place, first));
        for part in part.chunks_exact_mut(units.bytes) {
            let (scale, part) = part.split_at_mut(units.scale_bytes);
            let [scale_at, at] = units.next();
            // SAFETY: as in `put`.
            unsafe {
                scale.as_mut_ptr().copy_from_nonoverlapping(page.add(scale_at), scale.len());
                runs.gather(page.add(at), part.as_mut_ptr());
            }
        }
    }

    /// Puts zeros at the positions of a block of values that are not among these.
    ///
    /// # Panics
    /// Where the pages hold no values, or the block is shorter than it should be.
    pub fn erase_unseen(&self, block: &mut [u8], seen: &Range<usize>) {
        assert_eq!(self.layout, Layout::Values, "only values are erased");
        if self.scale_bytes() > 0 {
            // Codes under a scale of zero are zero.
            for (at, scale) in block[..self.scales_bytes()].chunks_exact_mut(self.scale_bytes()).enumerate() {
                if !seen.contains(&(at % CELL)) {
                    scale.fill(0);
                }
            }
            return;
        }
        let row = self.bytes(self.width);
        if self.dtype != DType::BF16 {
            for (position, row) in block.chunks_exact_mut(row).enumerate() {
                if !seen.contains(&position) {
                    row.fill(0);
                }
            }
            return;
        }
        for (pair, row) in block.chunks_exact_mut(2 * row).enumerate() {
            let half = |odd: usize| if seen.contains(&(2 * pair + odd)) { 0xffff } else { 0 };
            let kept: u32 = half(0) | half(1) << 16;
            if kept != u32::MAX {
                for word in row.as_chunks_mut().0 {
                    *word = (u32::from_le_bytes(*word) & kept).to_le_bytes();
                }
            }
        }
    }

    fn assert_part(&self, place: usize, first: usize, bytes: usize) {
        assert!(place < self.page_len, "a page of {} slots has none of place {place}", self.page_len);
        let end = self.bytes(first) + bytes;
        assert!(end <= self.bytes(self.slot_len()), "a part of a slot lies within it");
    }

    /// Where element `first` of the slot at `place` lies in a plain page.
    fn plain_at(&self, place: usize, first: usize) -> usize {
        place * self.bytes(self.slot_len()) + self.bytes(first)
    }

    /// Elements that are written at once: whole blocks of the type.
    fn unit(&self) -> usize {
        CELL.max(self.dtype.block_len())
    }

    /// Bytes of a scale before its codes.
    fn scale_bytes(&self) -> usize {
        self.dtype.block_bytes()
            - if self.dtype.is_float() { self.dtype.block_bytes() } else { self.dtype.block_len() }
    }

    /// Bytes of all scales of a block, which lie before all codes.
    pub fn scales_bytes(&self) -> usize {
        self.width / self.unit() * CELL * self.scale_bytes()
    }

    /// Bytes of a code, or of an element that is none.
    fn code_bytes(&self) -> usize {
        if self.dtype.is_float() { self.dtype.block_bytes() } else { 1 }
    }

    /// The units of the slot at `place`, from that of element `first` on.
    fn units(&self, place: usize, first: usize) -> Units {
        let (unit, size, scale) = (self.unit(), self.code_bytes(), self.scale_bytes());
        let cells = self.width / unit;
        let (head, cell) = (first / unit / cells, first / unit % cells);
        let step = match (self.layout, self.dtype) {
            (Layout::Values, DType::BF16) => 2 * unit * size,
            (Layout::Values, _) => unit * size,
            _ => unit * CELL * size,
        };
        Units {
            bytes: self.bytes(unit),
            scale_bytes: scale,
            block: self.block_at(head, place / CELL),
            head_stride: self.head_stride,
            scale: place % CELL * scale,
            codes: self.scales_bytes(),
            step,
            cell,
            cells,
        }
    }

    /// Where the elements at this position lie behind that.
    fn runs(&self, position: usize) -> Runs {
        let (unit, size) = (self.unit(), self.code_bytes());
        let row = size * self.width;
        match (self.layout, self.dtype) {
            (Layout::Keys, DType::BF16) => Runs { first: 4 * position, count: 8, bytes: 4, stride: 64 },
            (Layout::Keys, _) => {
                Runs { first: size * position, count: unit, bytes: size, stride: CELL * size }
            }
            (_, DType::BF16) => {
                Runs { first: position / 2 * 2 * row + position % 2 * 2, count: 16, bytes: 2, stride: 4 }
            }
            _ => Runs { first: position * row, count: 1, bytes: unit * size, stride: 0 },
        }
    }
}

impl Runs {
    /// # Safety
    /// As many elements may be read, and the block written where the runs lie.
    #[inline(always)]
    unsafe fn scatter(&self, from: *const u8, cell: *mut u8) {
        let to = cell.wrapping_add(self.first);
        // SAFETY: as the caller says.
        unsafe {
            match *self {
                Runs { count: 8, bytes: 4, stride: 64, .. } => runs::<8, 4>(from, 4, to, 64),
                Runs { count: 16, bytes: 2, stride: 4, .. } => runs::<16, 2>(from, 2, to, 4),
                Runs { count: 16, bytes: 2, stride, .. } => runs::<16, 2>(from, 2, to, stride),
                Runs { count: 16, bytes: 4, stride, .. } => runs::<16, 4>(from, 4, to, stride),
                Runs { count: 32, bytes: 1, stride, .. } => runs::<32, 1>(from, 1, to, stride),
                Runs { count, bytes, stride, .. } => {
                    for i in 0..count {
                        to.add(i * stride).copy_from_nonoverlapping(from.add(i * bytes), bytes);
                    }
                }
            }
        }
    }

    /// # Safety
    /// The block may be read where the runs lie, and as many elements written.
    #[inline(always)]
    unsafe fn gather(&self, cell: *const u8, to: *mut u8) {
        let from = cell.wrapping_add(self.first);
        // SAFETY: as the caller says.
        unsafe {
            match *self {
                Runs { count: 8, bytes: 4, stride, .. } => runs::<8, 4>(from, stride, to, 4),
                Runs { count: 16, bytes: 2, stride, .. } => runs::<16, 2>(from, stride, to, 2),
                Runs { count: 16, bytes: 4, stride, .. } => runs::<16, 4>(from, stride, to, 4),
                Runs { count: 32, bytes: 1, stride, .. } => runs::<32, 1>(from, stride, to, 1),
                Runs { count, bytes, stride, .. } => {
                    for i in 0..count {
                        to.add(i * bytes).copy_from_nonoverlapping(from.add(i * stride), bytes);
                    }
                }
            }
        }
    }
}

/// Copies `COUNT` runs of `BYTES`, each by one move: numbers that the compiler knows.
///
/// # Safety
/// As many bytes may be read and written at each step.
#[inline(always)]
unsafe fn runs<const COUNT: usize, const BYTES: usize>(
    from: *const u8,
    from_step: usize,
    to: *mut u8,
    to_step: usize,
) {
    for i in 0..COUNT {
        // SAFETY: as the caller says.
        unsafe {
            let run = from.add(i * from_step).cast::<[u8; BYTES]>().read();
            to.add(i * to_step).cast::<[u8; BYTES]>().write(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of (position, element) in a block, in words of the module's first paragraph.
    fn element(layout: Layout, dtype: DType, width: usize, position: usize, element: usize) -> usize {
        let (row, column, columns) = match layout {
            Layout::Keys => (element, position, 16),
            _ => (position, element, width),
        };
        match dtype {
            DType::BF16 => row / 2 * 2 * columns + column * 2 + row % 2,
            _ => row * columns + column,
        }
    }

    #[test]
    fn slots_lie_where_the_layout_says() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for layout in [Layout::Keys, Layout::Values] {
                let (page_len, heads, width) = (32, 3, 48);
                let shape = PageShape::new(dtype, layout, page_len, heads, width);
                assert_eq!(shape.layout, layout);
                let size = dtype.block_bytes();
                let mut page = vec![0xffu8; shape.page_bytes()];
                // A byte pattern that tells every element of every slot from all others.
                let word = |place: usize, e: usize| ((place * 144 + e) as u32).to_le_bytes();
                for place in 0..page_len {
                    let slot = (0..144).flat_map(|e| word(place, e)[..size].to_vec()).collect::<Vec<_>>();
                    // SAFETY: the page is as long as the shape says.
                    unsafe { shape.put(page.as_mut_ptr(), place, 0, &slot) };
                    let mut back = vec![0; slot.len()];
                    // SAFETY: as above.
                    unsafe { shape.take(page.as_ptr(), place, 0, &mut back) };
                    assert_eq!(back, slot);
                }
                for (place, e) in (0..page_len).flat_map(|place| (0..144).map(move |e| (place, e))) {
                    let (head, d) = (e / width, e % width);
                    let block = head * 2 + place / 16;
                    let at = block * 16 * width + element(layout, dtype, width, place % 16, d);
                    assert_eq!(
                        page[at * size..][..size],
                        word(place, e)[..size],
                        "{dtype} {layout:?} {place} {e}"
                    );
                }
            }
        }
    }

    #[test]
    fn scales_lie_before_codes() {
        for layout in [Layout::Keys, Layout::Values] {
            let shape = PageShape::new(DType::Q8_0, layout, 32, 2, 64);
            let mut page = vec![0xffu8; shape.page_bytes()];
            for place in 0..32usize {
                // Two heads of two units of a scale and 32 codes; every byte tells its place.
                let unit = |unit: usize| {
                    let scale = [place as u8, unit as u8];
                    scale.into_iter().chain((0..32).map(move |e| (place * 7 + unit * 32 + e) as u8))
                };
                let slot = (0..4).flat_map(unit).collect::<Vec<_>>();
                let mut back = vec![0; slot.len()];
                // SAFETY: the page is as long as the shape says.
                unsafe {
                    shape.put(page.as_mut_ptr(), place, 0, &slot);
                    shape.take(page.as_ptr(), place, 0, &mut back);
                }
                assert_eq!(back, slot);
            }
            for (place, unit) in (0..32usize).flat_map(|place| (0..4usize).map(move |unit| (place, unit))) {
                let block = &page[(unit / 2 * 2 + place / 16) * (16 * 68)..][..16 * 68];
                let (scales, codes) = block.split_at(64);
                assert_eq!(scales[(unit % 2 * 16 + place % 16) * 2..][..2], [place as u8, unit as u8]);
                for e in 0..32 {
                    let element = unit % 2 * 32 + e;
                    let at = match layout {
                        Layout::Keys => element * 16 + place % 16,
                        _ => place % 16 * 64 + element,
                    };
                    assert_eq!(codes[at], (place * 7 + unit * 32 + e) as u8, "{layout:?} {place} {unit} {e}");
                }
            }
        }
    }

    #[test]
    fn what_no_block_holds_is_plain() {
        let layout = |dtype, page_len, width| PageShape::new(dtype, Layout::Keys, page_len, 2, width).layout;
        assert_eq!(layout(DType::BF16, 16, 64), Layout::Keys);
        assert_eq!(layout(DType::BF16, 4, 64), Layout::Plain);
        assert_eq!(layout(DType::BF16, 16, 40), Layout::Plain);
        assert_eq!(layout(DType::Q8_0, 16, 64), Layout::Keys);
        assert_eq!(layout(DType::Q8_0, 16, 48), Layout::Plain);
    }
}

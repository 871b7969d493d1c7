//! Sources of kernels for Neuron chips, with the shapes that each is written for.
//!
//! They are written in AWS's kernel language (NKI), which is not to be had outside of AWS's own
//! repositories: **none has been compiled, and none has run on a chip or in a simulator.** What each computes is said a
//! second time in numpy (`neuron/twins.py`), with the same tiles in the same order, and that is held against the
//! reference in tests. Nothing depends on these kernels; they are off unless asked for.

/// A file of sources.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The file's name.
    pub name: &'static str,
    /// What it holds.
    pub text: &'static str,
}

/// What a folder needs in which modules with kernels are compiled: the kernels, and what embeds them.
pub const NEURON: [Source; 3] = [
    Source { name: "paged_attention.py", text: include_str!("../neuron/paged_attention.py") },
    Source { name: "mxfp4_product.py", text: include_str!("../neuron/mxfp4_product.py") },
    Source { name: "embed.py", text: include_str!("../neuron/embed.py") },
];

/// Attention of one token of each sequence to pages of keys and values in bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagedAttention {
    /// Query heads, `H`.
    pub heads: usize,
    /// Heads of keys and values, `K`.
    pub kv_heads: usize,
    /// Width of a head, `D`.
    pub width: usize,
    /// Positions of a sequence: pages times slots.
    pub positions: usize,
}

impl PagedAttention {
    /// The name under which a module asks for it.
    pub const NAME: &str = "paged_attention";
    /// Positions that are scored at once.
    pub const TILE: usize = 128;
    /// The widest head, and the most query heads for one of keys: each lies across the partitions of the chip's memory.
    pub const MOST_WIDTH: usize = 128;
    /// The most positions: the scores of a head's queries stay in the chip's memory.
    pub const MOST_POSITIONS: usize = 8192;

    /// Whether it is written for these shapes.
    pub fn fits(&self) -> bool {
        let group = self.heads.checked_div(self.kv_heads).unwrap_or(0);
        self.width <= Self::MOST_WIDTH
            && (1..=Self::MOST_WIDTH).contains(&group)
            && self.heads == group * self.kv_heads
            && self.positions.is_multiple_of(Self::TILE)
            && self.positions <= Self::MOST_POSITIONS
    }
}

/// Rows of activations by the matrices of an expert each, in MXFP4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mxfp4Product {
    /// Rows of a matrix, `O`.
    pub rows: usize,
    /// Elements of a row, `N`.
    pub width: usize,
}

impl Mxfp4Product {
    /// The name under which a module asks for it.
    pub const NAME: &str = "mxfp4_product";
    /// Rows of a matrix that are multiplied at once.
    pub const TILE: usize = 128;
    /// The longest row, whose values stay in the chip's memory.
    pub const MOST_WIDTH: usize = 4096;

    /// Whether it is written for these shapes.
    pub fn fits(&self) -> bool {
        self.rows.is_multiple_of(Self::TILE)
            && self.width.is_multiple_of(32)
            && (1..=Self::MOST_WIDTH).contains(&self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources refuse what the limits here refuse.
    #[test]
    fn limits_stand_in_the_sources_too() {
        let text = |name: &str| NEURON.iter().find(|source| source.name == name).unwrap().text;
        let holds = |name: &str, line: String| assert!(text(name).contains(&line), "{name}: no `{line}`");
        holds("paged_attention.py", format!("TILE = {}\n", PagedAttention::TILE));
        holds("paged_attention.py", format!("MOST_WIDTH = {}\n", PagedAttention::MOST_WIDTH));
        holds("paged_attention.py", format!("MOST_POSITIONS = {}\n", PagedAttention::MOST_POSITIONS));
        holds("mxfp4_product.py", format!("TILE = {}\n", Mxfp4Product::TILE));
        holds("mxfp4_product.py", format!("MOST_WIDTH = {}\n", Mxfp4Product::MOST_WIDTH));
        for name in [PagedAttention::NAME, Mxfp4Product::NAME] {
            holds(&format!("{name}.py"), format!("def {name}("));
        }
    }

    #[test]
    fn only_what_fits_is_taken() {
        let llama = PagedAttention { heads: 32, kv_heads: 8, width: 128, positions: 4096 };
        assert!(llama.fits());
        assert!(!PagedAttention { width: 256, ..llama }.fits());
        assert!(!PagedAttention { positions: 4100, ..llama }.fits());
        assert!(!PagedAttention { positions: 16384, ..llama }.fits());
        assert!(!PagedAttention { kv_heads: 0, ..llama }.fits());
        let gpt_oss = Mxfp4Product { rows: 2944, width: 2880 };
        assert!(gpt_oss.fits());
        assert!(!Mxfp4Product { rows: 2880, ..gpt_oss }.fits(), "22.5 tiles");
        assert!(!Mxfp4Product { width: 8192, ..gpt_oss }.fits());
    }
}

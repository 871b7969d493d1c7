//! Random bits by counter: SplitMix64, whose n-th word needs no word before it.

/// The odd number nearest to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random words.
pub(super) struct Bits {
    state: u64,
}

impl Bits {
    /// The stream of a row of the weight with this key.
    pub fn of_row(key: u64, row: usize) -> Bits {
        Bits { state: mix(key ^ mix((row as u64).wrapping_mul(GOLDEN))) }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        let (words, rest) = out.as_chunks_mut::<8>();
        for word in words {
            *word = self.next().to_le_bytes();
        }
        let last = self.next().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The key of a weight.
pub(super) fn key(seed: u64, name: &str) -> u64 {
    let start = mix(seed.wrapping_add(GOLDEN));
    name.bytes().fold(start, |key, byte| mix(key ^ u64::from(byte)).wrapping_add(GOLDEN))
}

/// SplitMix64's finalizer (Stafford's variant 13): every bit of the input moves every bit of the output.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

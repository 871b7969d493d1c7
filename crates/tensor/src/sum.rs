//! Checksums: XXH64 (Yann Collet, "xxHash fast digest algorithm", version 0.1.1), which finds damage at the speed of
//! memory and tells contents apart. It is no defence against forgery. Session files need none: a forged session says
//! what its forger could have said in a prompt.

const P: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// A sum over bytes, added in any pieces.
#[derive(Clone, Debug)]
pub struct Sum {
    lanes: [u64; 4],
    /// Bytes that do not fill a stripe yet.
    rest: [u8; 32],
    rest_len: usize,
    total: u64,
}

impl Default for Sum {
    fn default() -> Self {
        let lanes = [P[0].wrapping_add(P[1]), P[1], 0, 0u64.wrapping_sub(P[0])];
        Sum { lanes, rest: [0; 32], rest_len: 0, total: 0 }
    }
}

impl Sum {
    /// Adds bytes.
    pub fn add(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        if self.rest_len > 0 {
            let count = bytes.len().min(32 - self.rest_len);
            self.rest[self.rest_len..self.rest_len + count].copy_from_slice(&bytes[..count]);
            self.rest_len += count;
            bytes = &bytes[count..];
            if self.rest_len < 32 {
                return;
            }
            stripe(&mut self.lanes, &self.rest);
            self.rest_len = 0;
        }
        let (stripes, rest) = bytes.as_chunks::<32>();
        stripes.iter().for_each(|bytes| stripe(&mut self.lanes, bytes));
        self.rest[..rest.len()].copy_from_slice(rest);
        self.rest_len = rest.len();
    }

    /// The sum of all that was added.
    pub fn value(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut sum = P[4];
        if self.total >= 32 {
            sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
            sum = sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
            for lane in self.lanes {
                sum = (sum ^ round(0, lane)).wrapping_mul(P[0]).wrapping_add(P[3]);
            }
        }
        sum = sum.wrapping_add(self.total);
        let (words, mut rest) = self.rest[..self.rest_len].as_chunks::<8>();
        for word in words {
            sum = (sum ^ round(0, u64::from_le_bytes(*word)))
                .rotate_left(27)
                .wrapping_mul(P[0])
                .wrapping_add(P[3]);
        }
        if let Some((half, after)) = rest.split_first_chunk::<4>() {
            let half = u64::from(u32::from_le_bytes(*half));
            sum = (sum ^ half.wrapping_mul(P[0])).rotate_left(23).wrapping_mul(P[1]).wrapping_add(P[2]);
            rest = after;
        }
        for &byte in rest {
            sum = (sum ^ u64::from(byte).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
        }
        sum = (sum ^ (sum >> 33)).wrapping_mul(P[1]);
        sum = (sum ^ (sum >> 29)).wrapping_mul(P[2]);
        sum ^ (sum >> 32)
    }
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0])
}

fn stripe(lanes: &mut [u64; 4], bytes: &[u8; 32]) {
    let (words, _) = bytes.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = round(*lane, u64::from_le_bytes(*word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u64 {
        let mut sum = Sum::default();
        sum.add(bytes);
        sum.value()
    }

    #[test]
    fn sums_are_those_of_the_specification() {
        assert_eq!(sum(b""), 0xef46_db37_51d8_e999);
        assert_eq!(sum(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(sum(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(sum(b"Nobody inspects the spammish repetition"), 0xfbce_a83c_8a37_8bf1);
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes = (0..200u8).collect::<Vec<_>>();
        for cut in [1, 7, 31, 32, 33, 64, 100] {
            let mut pieces = Sum::default();
            bytes.chunks(cut).for_each(|piece| pieces.add(piece));
            assert_eq!(pieces.value(), sum(&bytes), "in pieces of {cut}");
        }
    }
}

//! What the products of AMX tiles mean, in plain loops: the oracle for kernels on machines without them.

/// `c[m][n] += sum over k of a[m][k] b[k / 4][n][k % 4]`: `a` rows of `4 depth` signed bytes, `b` `depth` rows of four
/// bytes per column, `c` 16 columns.
pub fn dot_i8(c: &mut [[i32; 16]], a: &[&[i8]], b: &[[[i32; 4]; 16]]) {
    for (c, a) in c.iter_mut().zip(a) {
        for (b, a) in b.iter().zip(a.as_chunks::<4>().0) {
            for (c, b) in c.iter_mut().zip(b) {
                *c = (0..4).fold(*c, |c, j| c.wrapping_add(i32::from(a[j]).wrapping_mul(b[j])));
            }
        }
    }
}

/// Pairs of bf16 into f32, in the order of the instruction: over all pairs the even and the odd products are summed
/// apart from zero, then the two sums are added to each other and to `c`. Products of two bf16 are exact in f32, so
/// fused or not makes no difference. Denormals are zero, read or written.
pub fn dot_bf16(c: &mut [[f32; 16]], a: &[&[[f32; 2]]], b: &[[[f32; 2]; 16]]) {
    let flush = |x: f32| if x.is_subnormal() { 0.0 * x } else { x };
    for (c, a) in c.iter_mut().zip(a) {
        for (n, c) in c.iter_mut().enumerate() {
            let mut sums = [0.0f32; 2];
            for (a, b) in a.iter().zip(b) {
                for j in 0..2 {
                    sums[j] = flush(flush(a[j]).mul_add(flush(b[n][j]), sums[j]));
                }
            }
            *c = flush(flush(*c) + flush(sums[0] + sums[1]));
        }
    }
}

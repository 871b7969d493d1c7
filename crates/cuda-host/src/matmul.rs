//! Products of matrices in plain loops.

use cuda::{Matmul, MatmulCall};

/// A product of matrices of bf16.
///
/// # Safety
/// All of the matrices is allocated.
pub unsafe fn multiply(call: &MatmulCall) {
    let MatmulCall { what: Matmul { rows, features, width, .. }, out, x, w, .. } = *call;
    // SAFETY: the caller says that they are allocated, and any two bytes are a bf16.
    let [x, w] = [(x, rows), (w, features)]
        .map(|(at, rows)| unsafe { std::slice::from_raw_parts(at as *const u16, rows * width) });
    // SAFETY: as above; nobody else uses the result meanwhile.
    let out = unsafe { std::slice::from_raw_parts_mut(out as *mut f32, rows * features) };
    let float = |bits: &u16| f32::from_bits(u32::from(*bits) << 16);
    for (out, x) in out.chunks_exact_mut(features).zip(x.chunks_exact(width)) {
        for (sum, w) in out.iter_mut().zip(w.chunks_exact(width)) {
            *sum = x.iter().zip(w).map(|(x, w)| float(x) * float(w)).sum();
        }
    }
}

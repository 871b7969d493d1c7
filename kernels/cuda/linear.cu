// out[row, f] = x[row] . w[f] + bias[f] + add[row, f], or ACTIVATION(x . gate[f] + ., x . up[f] + .) where GATED: weights of
// any type as they were found.
//
// Split: a warp a feature and up to ROWS rows of x, a lane 32 values of the width at a time. Bytes: weights read once for
// every ROWS rows. Lanes read blocks that lie apart, so this is the way of types that have no packed form, and the meaning
// of those that have.
//
// Macros: WIDTH, FEATURES, ROWS, FORMAT, FORMAT2 (of blocks.cuh), BIASED, ADDED, GATED (0 or 1), BIAS, BIAS2 (types),
// ACTIVATION.
#include "activation.cuh"
#include "blocks.cuh"

template <class Format>
DEVICE void products(const float* x, int rows, const u8* w, int lane, float* sums) {
    for (int r = 0; r < ROWS; r++) sums[r] = 0.0f;
    for (int g = lane; g < (WIDTH + 31) / 32; g += 32) {
        const int left = WIDTH - g * 32 < 32 ? WIDTH - g * 32 : 32;
        float values[32];
        Format::decode(w, g, left, values);
        for (int r = 0; r < rows; r++) {
            const float* from = x + (i64)r * WIDTH + g * 32;
            float sum = 0.0f;
            for (int i = 0; i < left; i++) sum += from[i] * values[i];
            sums[r] += sum;
        }
    }
    for (int r = 0; r < ROWS; r++) sums[r] = warp_sum(sums[r]);
}

KERNEL linear(float* out, const float* x, const u8* w, const u8* w2, const BIAS* bias, const BIAS2* bias2,
              const float* add, i64 rows) {
    const int lane = threadIdx.x % 32;
    const i64 feature = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32;
    const i64 first = (i64)blockIdx.y * ROWS;
    if (feature >= FEATURES) return;
    const int here = rows - first < ROWS ? (int)(rows - first) : ROWS;
    float sums[ROWS], ups[ROWS];
    products<FORMAT>(x + first * WIDTH, here, w + feature * FORMAT::bytes(WIDTH), lane, sums);
    if (GATED) products<FORMAT2>(x + first * WIDTH, here, w2 + feature * FORMAT2::bytes(WIDTH), lane, ups);
    for (int r = 0; r < here; r++) {
        if (lane != r) continue;
        const i64 at = (first + r) * FEATURES + feature;
        float y = sums[r];
        if (BIASED) y += to_f32(bias[feature]);
        if (GATED) y = ACTIVATION(y, ups[r] + (BIASED ? to_f32(bias2[feature]) : 0.0f));
        out[at] = ADDED ? add[at] + y : y;
    }
}

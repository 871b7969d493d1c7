// out[row, f] of the sums over PARTS of the columns, with what `many.cu` would have done to it; or of what PARTS ranks made,
// in their order.
//
// Split: a thread a value. Bytes: PARTS f32 read, from the second cache where they were just written, and one written.
//
// Macros: FEATURES, PARTS, BIASED, BIAS0, BIAS1 (types), ADDED, GATED, ACTIVATION.
#include "activation.cuh"

KERNEL sum_parts(float* out, const float* parts, const BIAS0* bias0, const BIAS1* bias1, const float* added, i64 rows) {
    const i64 count = rows * FEATURES, step = (i64)gridDim.x * blockDim.x;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += step) {
        const i64 feature = i % FEATURES;
        float y = 0.0f, up = 0.0f;
        for (int part = 0; part < PARTS; part++) {
            y += parts[part * (1 + GATED) * count + i];
            if (GATED) up += parts[(part * (1 + GATED) + 1) * count + i];
        }
        if (BIASED) y += to_f32(bias0[feature]), up += GATED ? to_f32(bias1[feature]) : 0.0f;
        if (GATED) y = ACTIVATION(y, up);
        out[i] = ADDED ? added[i] + y : y;
    }
}

// out = w as f32: blocks or dense floats, 32 values a thread.
//
// Bytes: blocks read once, four bytes a value written; at the bandwidth of writes.
//
// Macros: FORMAT (of blocks.cuh).
#include "blocks.cuh"

KERNEL dequantize(float* out, const u8* w, i64 count) {
    const i64 groups = (count + 31) / 32;
    for (i64 g = blockIdx.x * (i64)blockDim.x + threadIdx.x; g < groups; g += (i64)gridDim.x * blockDim.x) {
        float values[32];
        const int left = count - g * 32 < 32 ? (int)(count - g * 32) : 32;
        FORMAT::decode(w, g, left, values);
        for (int i = 0; i < left; i++) out[g * 32 + i] = values[i];
    }
}

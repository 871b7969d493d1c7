// hidden[t, k, f] = ACTIVATION(x[t] . gate[e, f] + ., x[t] . up[e, f] + .) of the expert e = chosen[t, k].
//
// Split: a warp a feature of a choice. Bytes: both weights of a choice read once for each choice, so it is the way of steps
// with few tokens; bounded by those bytes.
//
// Macros: WIDTH, FEATURES (of an expert), CHOICES, FORMAT, FORMAT2, BIASED, BIAS, BIAS2, ACTIVATION.
#include "activation.cuh"
#include "blocks.cuh"
#include "dot.cuh"

KERNEL expert_hidden(float* hidden, const float* x, const int* chosen, const u8* gate, const u8* up, const BIAS* gate_bias,
                     const BIAS2* up_bias, i64 pairs) {
    const int lane = threadIdx.x % 32;
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < pairs * FEATURES; at += warps) {
        const i64 pair = at / FEATURES;
        const i64 row = (i64)chosen[pair] * FEATURES + at % FEATURES;
        const float* from = x + pair / CHOICES * WIDTH;
        float g = dot<FORMAT>(from, gate + row * FORMAT::bytes(WIDTH), WIDTH, lane);
        float u = dot<FORMAT2>(from, up + row * FORMAT2::bytes(WIDTH), WIDTH, lane);
        if (BIASED) g += to_f32(gate_bias[row]), u += to_f32(up_bias[row]);
        if (lane == 0) hidden[at] = ACTIVATION(g, u);
    }
}

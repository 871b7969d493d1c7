// out[t, f] = sum over k of weights[t, k] (hidden[t, k] . down[e, f] + bias[e, f]), e = chosen[t, k], in order of k.
//
// Split: a warp a feature of a token. Bytes: the weights of each choice read once for each choice; see expert_hidden.cu.
//
// Macros: WIDTH (of an expert's hidden values), FEATURES, CHOICES, FORMAT, BIASED, BIAS.
#include "blocks.cuh"
#include "dot.cuh"

KERNEL expert_out(float* out, const float* hidden, const float* weights, const int* chosen, const u8* down,
                  const BIAS* bias, i64 tokens) {
    const int lane = threadIdx.x % 32;
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < tokens * FEATURES; at += warps) {
        const i64 t = at / FEATURES;
        float sum = 0.0f;
        for (int k = 0; k < CHOICES; k++) {
            const i64 pair = t * CHOICES + k;
            const i64 row = (i64)chosen[pair] * FEATURES + at % FEATURES;
            float y = dot<FORMAT>(hidden + pair * WIDTH, down + row * FORMAT::bytes(WIDTH), WIDTH, lane);
            if (BIASED) y += to_f32(bias[row]);
            sum += weights[pair] * y;
        }
        if (lane == 0) out[at] = sum;
    }
}

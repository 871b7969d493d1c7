// out = ACTIVATION(gate, up), element by element.
//
// Split: a thread an element. Bytes: two f32 read and one written; at the bandwidth of memory.
//
// Macros: ACTIVATION, ALPHA, LIMIT (of activation.cuh).
#include "activation.cuh"

KERNEL gated_act(float* out, const float* gate, const float* up, i64 count) {
    const i64 step = (i64)gridDim.x * blockDim.x;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += step) {
        out[i] = ACTIVATION(gate[i], up[i]);
    }
}

// Heads turned by their tokens' positions, normed before where NORMED: see rope.cuh.
//
// Split: a warp a head of a token. Bytes: heads read and written once; in a decode step it takes as long as a launch.
//
// Macros: those of rope.cuh, HEADS, W (type of the norm's weights).
#include "rope.cuh"

KERNEL rope(float* out, const float* x, const W* w, const int* positions, const float* frequencies, i64 tokens) {
    in_turn();
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < tokens * HEADS; at += warps) {
        turn(out + at * WIDTH, x + at * WIDTH, w, (float)positions[at / HEADS], frequencies);
    }
}

// state[slots[t]] = values[t], rounded to the state's type.
//
// Split: a block a token, a thread 32 values (blocks of q8_0 are that long). Bytes: four a value read, the state's
// written; a few kilobytes a token, bounded by latency.
//
// Macros: FORMAT (of blocks.cuh), SLOT (values of a slot).
#include "blocks.cuh"

KERNEL state_write(u8* state, const int* slots, const float* values, i64 tokens) {
    in_turn();
    for (i64 t = blockIdx.x; t < tokens; t += gridDim.x) {
        u8* slot = state + slots[t] * (i64)FORMAT::bytes(SLOT);
        for (int g = threadIdx.x; g < (SLOT + 31) / 32; g += blockDim.x) {
            const int left = SLOT - g * 32 < 32 ? SLOT - g * 32 : 32;
            FORMAT::encode(values + t * SLOT + g * 32, left, g, slot);
        }
    }
}

// out[t] = table[tokens[t]], as f32.
//
// Split: a block a token, a thread 32 values. Bytes: a row of the table read, four bytes a value written.
//
// Macros: FORMAT (of blocks.cuh), WIDTH.
#include "blocks.cuh"

KERNEL embed(float* out, const int* tokens, const u8* table, const int* previous, i64 count) {
    in_turn();
    for (i64 t = blockIdx.x; t < count; t += gridDim.x) {
        const u8* row = table + (i64)token_id(tokens, t, previous) * FORMAT::bytes(WIDTH);
        for (int g = threadIdx.x; g < (WIDTH + 31) / 32; g += blockDim.x) {
            const int left = WIDTH - g * 32 < 32 ? WIDTH - g * 32 : 32;
            float values[32];
            FORMAT::decode(row, g, left, values);
            for (int i = 0; i < left; i++) out[t * WIDTH + g * 32 + i] = values[i];
        }
    }
}

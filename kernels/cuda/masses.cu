// masses[row, chunk] = the weights of CHUNK logits, at a temperature of one and as the row is to be drawn.
//
// Split: a block a chunk of a row. Bytes: logits read once, from the cache.
//
// Macros: VOCAB, CHUNK.
#include "likelihood.cuh"

KERNEL masses(u64* out, const float* logits, const Peak* peaks, const Wish* wishes) {
    in_turn();
    const int chunk = blockIdx.x, chunks = gridDim.x;
    const i64 row = blockIdx.y;
    const float largest = row_peak(peaks + row * chunks, chunks).largest;
    const Wish wish = wishes[row];
    u64 plain = 0, drawn = 0;
    const int end = min((chunk + 1) * CHUNK, VOCAB);
    for (int i = chunk * CHUNK + threadIdx.x; i < end; i += blockDim.x) {
        const float logit = logits[row * VOCAB + i];
        plain += weight_of(logit, largest, LOG2_E);
        if (wish.drawn) drawn += weight_of(logit, largest, wish.steepness);
    }
    plain = block_sum(plain);
    drawn = block_sum(drawn);
    if (threadIdx.x == 0) {
        out[2 * (row * chunks + chunk)] = plain;
        out[2 * (row * chunks + chunk) + 1] = drawn;
    }
}

// The token of each row: the largest, or the one at which the weights, summed in order of ids, pass the uniform number's
// share of all.
//
// Split: a block a row; a drawn row looks again at the one chunk in which its token is. Bounded by latency.
//
// Macros: VOCAB, CHUNK, CHUNKS.
#include "likelihood.cuh"

KERNEL choose(Chosen* out, int* ids, const float* logits, const Peak* peaks, const u64* masses, const Wish* wishes) {
    in_turn();
    const i64 row = blockIdx.x;
    const float* from = logits + row * VOCAB;
    const Wish wish = wishes[row];
    const Peak peak = row_peak(peaks + row * CHUNKS, CHUNKS);
    u64 mass = 0, all = 0;
    for (int c = 0; c < CHUNKS; c++) {
        mass += masses[2 * (row * CHUNKS + c)];
        all += masses[2 * (row * CHUNKS + c) + 1];
    }
    int id = peak.place;
    if (wish.drawn && isfinite(peak.largest)) {
        // The place among all units of weight, and the chunk that it falls into.
        u64 left = (u64)__dmul_rn(wish.uniform, (double)all);
        if (left >= all) left = all - 1;
        int chunk = 0;
        for (; chunk + 1 < CHUNKS; chunk++) {
            const u64 here = masses[2 * (row * CHUNKS + chunk) + 1];
            if (left < here) break;
            left -= here;
        }
        // Every thread weighs a stretch of the chunk; the first stretch whose sum passes what is left holds the token.
        __shared__ u64 sums[256];
        const int stretch = (CHUNK + 255) / 256;
        const int first = chunk * CHUNK + threadIdx.x * stretch;
        const int end = min(min(first + stretch, (chunk + 1) * CHUNK), VOCAB);
        u64 sum = 0;
        for (int i = first; i < end; i++) sum += weight_of(from[i], peak.largest, wish.steepness);
        sums[threadIdx.x] = sum;
        __syncthreads();
        u64 before = 0;
        for (int i = 0; i < threadIdx.x; i++) before += sums[i];
        __shared__ int found;
        if (left >= before && left - before < sum) {
            u64 rest = left - before;
            for (int i = first; i < end; i++) {
                const u64 weight = weight_of(from[i], peak.largest, wish.steepness);
                if (rest < weight) {
                    found = i;
                    break;
                }
                rest -= weight;
            }
        }
        __syncthreads();
        id = found;
    }
    if (threadIdx.x == 0) {
        Chosen chosen;
        chosen.id = id;
        chosen.logit = from[id];
        chosen.largest = peak.largest;
        chosen.unused = 0;
        chosen.mass = mass;
        out[row] = chosen;
        ids[row] = id;
    }
}

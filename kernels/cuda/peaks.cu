// peaks[row, chunk] = the largest of CHUNK logits and its place, the first among equals; what is no number is passed over.
//
// Split: a block a chunk of a row. Bytes: logits read once, from the cache where they were just written.
//
// Macros: VOCAB, CHUNK.

struct Peak {
    float largest;
    int place;
};

DEVICE bool leads(float a, int at, float b, int bt) {
    return a > b || (a == b && at < bt);
}

KERNEL peaks(Peak* out, const float* logits) {
    in_turn();
    const int chunk = blockIdx.x;
    const i64 row = blockIdx.y;
    __shared__ float largest[32];
    __shared__ int places[32];
    float best = -INFINITY;
    int place = 0x7fffffff;
    const int end = min((chunk + 1) * CHUNK, VOCAB);
    for (int i = chunk * CHUNK + threadIdx.x; i < end; i += blockDim.x) {
        const float x = logits[row * VOCAB + i];
        if (leads(x, i, best, place)) best = x, place = i;
    }
    for (int round = 0; round < 2; round++) {
        for (int away = 16; away > 0; away /= 2) {
            const float x = __shfl_xor_sync(ALL_LANES, best, away);
            const int i = __shfl_xor_sync(ALL_LANES, place, away);
            if (leads(x, i, best, place)) best = x, place = i;
        }
        if (round == 1) break;
        if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = best, places[threadIdx.x / 32] = place;
        __syncthreads();
        const int lane = threadIdx.x % 32;
        const bool filled = lane < blockDim.x / 32;
        best = filled ? largest[lane] : -INFINITY;
        place = filled ? places[lane] : 0x7fffffff;
    }
    if (threadIdx.x == 0) {
        out[row * gridDim.x + chunk].largest = best;
        out[row * gridDim.x + chunk].place = place;
    }
}

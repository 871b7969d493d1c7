// The K largest of each row with their places, the largest first, among equals the first; where ROUTE, their softmax in
// place of their values.
//
// Split: a block a row; each of K passes finds the largest key below the last one found, so a row is read K times, from
// the cache after the first. Rows are experts' scores: short, and bounded by latency.
//
// Macros: WIDTH, K, ROUTE (0 or 1).

KERNEL top_k(float* values, int* places, const float* x, i64 rows) {
    in_turn();
    __shared__ float kept[K];
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* from = x + row * WIDTH;
        u64 last = ~0ull;
        for (int k = 0; k < K; k++) {
            u64 best = 0;
            for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) {
                const u64 key = (u64)ordered(from[i]) << 32 | (u32)~i;
                if (key < last && key > best) best = key;
            }
            last = block_max(best);
            const int place = (int)~(u32)last;
            if (threadIdx.x == 0) {
                places[row * K + k] = place;
                kept[k] = from[place];
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            float sum = 0.0f;
            for (int k = 0; k < K; k++) sum += expf(kept[k] - kept[0]);
            for (int k = 0; k < K; k++) {
                values[row * K + k] = ROUTE ? expf(kept[k] - kept[0]) / sum : kept[k];
            }
        }
        __syncthreads();
    }
}

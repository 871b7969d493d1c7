// out[row] = x[row] / sqrt(mean(x[row]^2) + EPS) * w.
//
// Split: a block a row. Bytes: a row read twice, the second time from the cache, and written once. In a decode step it
// takes as long as a launch.
//
// Macros: WIDTH, EPS, W (type of w).

KERNEL rms_norm(float* out, const float* x, const W* w, i64 rows) {
    in_turn();
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* from = x + row * WIDTH;
        float sum = 0.0f;
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) sum += from[i] * from[i];
        const float factor = 1.0f / sqrtf(block_sum(sum) / (float)WIDTH + EPS);
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) {
            out[row * WIDTH + i] = from[i] * factor * to_f32(w[i]);
        }
    }
}

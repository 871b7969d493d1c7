// out[row, i] = exp(x[row, i] - max) / sum of all exp(x[row, :] - max).
//
// Split: a block a row. Bytes: rows read three times, twice of them from the cache, and written once.
//
// Macros: WIDTH.

KERNEL softmax(float* out, const float* x, i64 rows) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* from = x + row * WIDTH;
        float largest = -INFINITY;
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) largest = fmaxf(largest, from[i]);
        largest = block_max(largest);
        float sum = 0.0f;
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) sum += expf(from[i] - largest);
        sum = block_sum(sum);
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) {
            out[row * WIDTH + i] = expf(from[i] - largest) / sum;
        }
    }
}

// out[row] = FOLD(x[row, :]): the sum, the mean or the largest of each row.
//
// Split: a block a row. Bytes: rows read once; at the bandwidth of memory where they are long.
//
// Macros: WIDTH, and one of SUM, MEAN, MAX.

KERNEL reduce(float* out, const float* x, i64 rows) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
#ifdef MAX
        float folded = -INFINITY;
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) folded = fmaxf(folded, x[row * WIDTH + i]);
        folded = block_max(folded);
#else
        float folded = 0.0f;
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) folded += x[row * WIDTH + i];
        folded = block_sum(folded);
#endif
#ifdef MEAN
        folded /= (float)WIDTH;
#endif
        if (threadIdx.x == 0) out[row] = folded;
    }
}

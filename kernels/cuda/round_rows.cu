// Rows of x as bf16, normed before where NORMED, and their sums over 32 columns: what `many.cu` reads.
//
// Split: a block a row. Bytes: four read and two written a value, twice read where normed; at the bandwidth of memory.
//
// Macros: WIDTH (a multiple of 32), NORMED (0 or 1), EPS, NORM (type).

KERNEL round_rows(u16* out, float* sums, const float* x, const NORM* norm, i64 rows) {
    in_turn();
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* from = x + row * WIDTH;
        float factor = 1.0f;
        if (NORMED) {
            float sum = 0.0f;
            for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) sum += from[i] * from[i];
            factor = 1.0f / sqrtf(block_sum(sum) / (float)WIDTH + EPS);
        }
        // Threads are whole warps and so are 32 columns: a warp sums what it rounds.
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) {
            const u16 bits = bfloat_of_float(NORMED ? from[i] * factor * to_f32(norm[i]) : from[i]);
            out[row * WIDTH + i] = bits;
            const float sum = warp_sum(float_of_bfloat(bits));
            if (threadIdx.x % 32 == 0) sums[row * (WIDTH / 32) + i / 32] = sum;
        }
    }
}

// out[t] = sum over k of weights[t, k] y[t, k], in order of k, + added[t] where ADDED: what the chosen experts gave, put together.
//
// Split: a thread a value. Bytes: CHOICES f32 read, from the second cache where they were just written, and one written.
//
// Macros: WIDTH, CHOICES, ADDED.

KERNEL combine(float* out, const float* y, const float* weights, const float* added, i64 tokens) {
    in_turn();
    const i64 count = tokens * WIDTH, step = (i64)gridDim.x * blockDim.x;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += step) {
        const i64 t = i / WIDTH;
        float sum = 0.0f;
        for (int k = 0; k < CHOICES; k++) sum += weights[t * CHOICES + k] * y[(t * CHOICES + k) * WIDTH + i % WIDTH];
        out[i] = ADDED ? added[i] + sum : sum;
    }
}

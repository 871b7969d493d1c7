// Heads turned: elements i and i + TURNED of the first 2 TURNED, by position * frequency[i]; normed before where NORMED.
//
// Split: a warp a head of a token. Bytes: heads read and written once; in a decode step it takes as long as a launch.
//
// Macros: HEADS, WIDTH, TURNED, SCALE (of cosine and sine), NORMED (0 or 1), EPS, W (type of the norm's weights).

KERNEL rope(float* out, const float* x, const W* w, const int* positions, const float* frequencies, i64 tokens) {
    const int lane = threadIdx.x % 32;
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < tokens * HEADS; at += warps) {
        const float* from = x + at * WIDTH;
        float* to = out + at * WIDTH;
        float factor = 1.0f;
        if (NORMED) {
            float sum = 0.0f;
            for (int i = lane; i < WIDTH; i += 32) sum += from[i] * from[i];
            factor = 1.0f / sqrtf(warp_sum(sum) / (float)WIDTH + EPS);
        }
        const float position = (float)positions[at / HEADS];
        for (int i = lane; i < TURNED; i += 32) {
            const float angle = position * frequencies[i];
            const float cosine = cosf(angle) * SCALE, sine = sinf(angle) * SCALE;
            float a = from[i] * factor, b = from[i + TURNED] * factor;
            if (NORMED) a *= to_f32(w[i]), b *= to_f32(w[i + TURNED]);
            to[i] = a * cosine - b * sine;
            to[i + TURNED] = b * cosine + a * sine;
        }
        for (int i = 2 * TURNED + lane; i < WIDTH; i += 32) {
            to[i] = from[i] * factor * (NORMED ? to_f32(w[i]) : 1.0f);
        }
    }
}

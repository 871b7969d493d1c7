// out[t, h] = the parts of a head's attention put together: sum of exp(m - max) s over sum of exp(m - max) l.
//
// Split: a block a head of a token. Bytes: PARTS rows of a head read, one written; it takes as long as a launch.
//
// Macros: HEADS, WIDTH, PARTS, SINKS (0 or 1), SINK (type).

KERNEL merge(float* out, const float* parts, const SINK* sinks) {
    const i64 at = (i64)blockIdx.y * HEADS + blockIdx.x;
    const float* from = parts + at * PARTS * (WIDTH + 2);
    const float sink = SINKS ? to_f32(sinks[blockIdx.x]) : -INFINITY;
    float top = sink;
    for (int p = 0; p < PARTS; p++) top = fmaxf(top, from[p * (WIDTH + 2) + WIDTH]);
    float mass = SINKS ? expf(sink - top) : 0.0f;
    for (int p = 0; p < PARTS; p++) {
        const float m = from[p * (WIDTH + 2) + WIDTH];
        mass += m == -INFINITY ? 0.0f : expf(m - top) * from[p * (WIDTH + 2) + WIDTH + 1];
    }
    for (int d = threadIdx.x; d < WIDTH; d += blockDim.x) {
        float sum = 0.0f;
        for (int p = 0; p < PARTS; p++) {
            const float m = from[p * (WIDTH + 2) + WIDTH];
            sum += m == -INFINITY ? 0.0f : expf(m - top) * from[p * (WIDTH + 2) + d];
        }
        out[at * WIDTH + d] = sum / mass;
    }
}

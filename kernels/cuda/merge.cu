// out[t, h] = the parts of a head's attention put together: sum of exp(m - max) s over sum of exp(m - max) l.
//
// Split: a block a head of a token. Bytes: the parts of a head read, one row written; it takes as long as a launch.
//
// Macros: HEADS, WIDTH, SINKS (0 or 1), SINK (type).

KERNEL merge(float* out, const float* all, const SINK* sinks, i64 parts) {
    const i64 at = (i64)blockIdx.y * HEADS + blockIdx.x;
    const float* from = all + at * parts * (WIDTH + 2);
    for (int d = threadIdx.x; d < WIDTH; d += blockDim.x) {
        Running head = {SINKS ? to_f32(sinks[blockIdx.x]) : -INFINITY, SINKS ? 1.0f : 0.0f, 0.0f};
        for (i64 part = 0; part < parts; part++) {
            const float* const one = from + part * (WIDTH + 2);
            take(head, one[WIDTH], one[WIDTH + 1], one[d]);
        }
        out[at * WIDTH + d] = head.sum / head.mass;
    }
}

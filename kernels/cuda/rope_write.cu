// Queries turned; keys turned and rounded to their slots; values rounded to theirs: what stands between the products of an
// attention and itself, in one launch.
//
// Split: a warp a head of a token, query heads first. Bytes: heads read once, queries and slots written once; in a decode step
// it takes as long as a launch.
//
// Macros: those of rope.cuh, HEADS, KV_HEADS, W, W2 (types of the norms' weights), KEY, VALUE (types of the states).
#include "rope.cuh"

KERNEL rope_write(float* out, KEY* keys, VALUE* values, const float* q, const float* k, const float* v, const W* w,
                  const W2* w2, const int* positions, const int* slots, const float* frequencies, i64 tokens) {
    in_turn();
    const int heads = HEADS + 2 * KV_HEADS;
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < tokens * heads; at += warps) {
        const i64 t = at / heads, slot = slots[t];
        const int head = (int)(at % heads), kv_head = (head - HEADS) % KV_HEADS;
        const i64 to = (slot * KV_HEADS + kv_head) * WIDTH, from = (t * KV_HEADS + kv_head) * WIDTH;
        const float position = (float)positions[t];
        if (head < HEADS) {
            turn(out + (t * HEADS + head) * WIDTH, q + (t * HEADS + head) * WIDTH, w, position, frequencies);
        } else if (head < HEADS + KV_HEADS) {
            turn(keys + to, k + from, w2, position, frequencies);
        } else {
            for (int i = threadIdx.x % 32; i < WIDTH; i += 32) values[to + i] = from_f32<VALUE>(v[from + i]);
        }
    }
}

// out[t, h] = sum over visible j of softmax(SCALE q[t, h] . k[j])  v[j], over pages; a sink adds exp(sink) under the sum.
//
// Split: a block a token, a kv head, up to AT_ONCE of the query heads that share it, which read keys and values together, and
// a part of the positions. Eight lanes a position, so a block looks at 16 at a time. Where there are several parts, `merge.cu`
// puts them together; where PART is fixed, a block of the WHOLE does as that would, one part behind another. Sums are of f32.
// Bytes: keys and values of what is visible, once for each token; a decode step is bounded by them. A Hopper's memory wants some
// 23 KB on their way to each processor (4.3 TB/s for 0.7 us): two blocks of four warps ask for 2 KB a warp and turn, one turn ahead.
//
// Macros: HEADS, KV_HEADS, WIDTH, PAGE_LEN, SCALE, WINDOW (0: none), SINKS (0 or 1), SINK (type), KEYS, VALUES (of
// blocks.cuh), WHOLE (0 or 1), PART (positions of a part; 0: as many parts as blocks), AT_ONCE (as many as registers hold).
#include "blocks.cuh"

#define GROUP (HEADS / KV_HEADS)
#define EACH ((WIDTH + 7) / 8)
#define WARPS 4
// Blocks that share a kv head.
#define SUBS ((GROUP + AT_ONCE - 1) / AT_ONCE)

// Elements of a slot's head that a lane of eight reads: as they lie, so that those of the next positions are on their way in
// few registers while these are summed; and as numbers.
template <class Format>
struct Reader {
    struct Raw {
        float values[EACH];
    };
    static DEVICE void load(Raw& raw, const u8* slot, int head, int lane) {
        // A head of blocks is whole blocks: 32 values for four lanes of eight.
        const int first = head * WIDTH + lane * EACH;
        float block[32];
        Format::decode(slot, first / 32, 32, block);
        for (int i = 0; i < EACH; i++) raw.values[i] = block[(first % 32 + i) % 32];
    }
    static DEVICE float value(const Raw& raw, int i) { return raw.values[i]; }
};

template <class T>
DEVICE float element(const u32* words, int i) {
    T x;
    x.bits = (u16)(words[i / 2] >> (16 * (i % 2)));
    return to_f32(x);
}
template <>
DEVICE float element<float>(const u32* words, int i) {
    return __uint_as_float(words[i]);
}

// Neighbours; where lanes have whole words, read as wide as all of them begin on a boundary of.
template <class T>
struct Reader<Dense<T>> {
    static const int BYTES = EACH * sizeof(T), WORDS = (BYTES + 3) / 4;
    struct Raw {
        u32 words[WORDS];
    };
    static DEVICE void load(Raw& raw, const u8* slot, int head, int lane) {
        const T* from = (const T*)slot + head * WIDTH + lane * EACH;
        if constexpr (WIDTH % 8 == 0 && BYTES % 16 == 0) {
            for (int i = 0; i < WORDS; i += 4) {
                const uint4 x = *(const uint4*)((const u32*)from + i);
                raw.words[i] = x.x, raw.words[i + 1] = x.y, raw.words[i + 2] = x.z, raw.words[i + 3] = x.w;
            }
        } else if constexpr (sizeof(T) == 4 || (WIDTH % 8 == 0 && BYTES % 4 == 0)) {
            // Of a head that is no eight whole parts, what lies beyond its end is nothing.
            for (int i = 0; i < WORDS; i++) {
                raw.words[i] = WIDTH % 8 == 0 || lane * EACH + i < WIDTH ? ((const u32*)from)[i] : 0;
            }
        } else {
            for (int i = 0; i < WORDS; i++) raw.words[i] = 0;
            for (int i = 0; i < EACH; i++) {
                const u32 bits = lane * EACH + i < WIDTH ? ((const u16*)from)[i] : 0;
                raw.words[i / 2] |= bits << (16 * (i % 2));
            }
        }
    }
    static DEVICE float value(const Raw& raw, int i) { return element<T>(raw.words, i); }
};

KERNEL attend(float* out, float* parts, const float* q, const u8* keys, const u8* values, const int* positions,
              const int* sequences, const int* table, const int* base, const SINK* sinks, i64 pages, i64 tokens) {
    const int kv_head = blockIdx.x / SUBS, first_head = kv_head * GROUP + blockIdx.x % SUBS * AT_ONCE;
    const int heads = min(AT_ONCE, (kv_head + 1) * GROUP - first_head);
    const i64 t = blockIdx.z;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 8, eight = threadIdx.x % 32 / 8;
    const int position = positions[t], sequence = sequences[t];
    const int oldest = WINDOW > 0 && position + 1 > WINDOW ? position + 1 - WINDOW : 0;
    const int seen = position + 1 - oldest, parts_here = gridDim.y;
    const int each = PART > 0 ? PART : (seen + parts_here - 1) / parts_here;
    const int* row = table + sequence * pages;
    const int gone = base[sequence];

    float mine[AT_ONCE][EACH];
#pragma unroll
    for (int h = 0; h < AT_ONCE; h++) {
        // Of heads that are missing, the last again.
        const float* head = q + (t * HEADS + first_head + min(h, heads - 1)) * WIDTH + lane * EACH;
        for (int i = 0; i < EACH; i++) mine[h][i] = lane * EACH + i < WIDTH ? head[i] * SCALE : 0.0f;
    }
    // The four eights of a warp, then the warps, then the parts.
    __shared__ float sums[WARPS][AT_ONCE][EACH * 8];
    __shared__ float tops[WARPS][AT_ONCE], masses[WARPS][AT_ONCE];
    // Each by one thread.
    __shared__ Running held[AT_ONCE * WIDTH];
    for (int i = threadIdx.x; WHOLE && i < heads * WIDTH; i += blockDim.x) {
        const float sink = SINKS ? to_f32(sinks[first_head + i / WIDTH]) : -INFINITY;
        held[i].top = sink, held[i].mass = SINKS ? 1.0f : 0.0f, held[i].sum = 0.0f;
    }
    const int first_part = WHOLE ? 0 : blockIdx.y, last_part = WHOLE ? (seen + each - 1) / each : first_part + 1;
    for (int part = first_part; part < last_part; part++) {
        const int from = oldest + part * each, to = min(from + each, position + 1);
        float sum[AT_ONCE][EACH], largest[AT_ONCE], mass[AT_ONCE];
#pragma unroll
        for (int h = 0; h < AT_ONCE; h++) {
            for (int i = 0; i < EACH; i++) sum[h][i] = 0.0f;
            largest[h] = -INFINITY;
            mass[h] = 0.0f;
        }
        // All lanes go round as often, for they sum together; a position beyond the end counts nothing.
        Reader<KEYS>::Raw key, next_key;
        Reader<VALUES>::Raw value, next_value;
        const auto read = [&](int start, Reader<KEYS>::Raw& key, Reader<VALUES>::Raw& value) {
            const int at = min(start + warp * 4 + eight, to - 1);
            const i64 slot = (i64)row[at / PAGE_LEN - gone] * PAGE_LEN + at % PAGE_LEN;
            Reader<KEYS>::load(key, keys + slot * KEYS::bytes(KV_HEADS * WIDTH), kv_head, lane);
            Reader<VALUES>::load(value, values + slot * VALUES::bytes(KV_HEADS * WIDTH), kv_head, lane);
        };
        if (from < to) read(from, next_key, next_value);
        for (int start = from; start < to; start += 4 * WARPS) {
            key = next_key, value = next_value;
            if (start + 4 * WARPS < to) read(start + 4 * WARPS, next_key, next_value);
            const bool visible = start + warp * 4 + eight < to;
#pragma unroll
            for (int h = 0; h < AT_ONCE; h++) {
                float score = 0.0f;
                for (int i = 0; i < EACH; i++) score += mine[h][i] * Reader<KEYS>::value(key, i);
                for (int away = 4; away > 0; away /= 2) score += __shfl_xor_sync(ALL_LANES, score, away);
                if (!visible) continue;
                const float top = fmaxf(largest[h], score);
                const float shrink = expf(largest[h] - top), weight = expf(score - top);
                for (int i = 0; i < EACH; i++) sum[h][i] = sum[h][i] * shrink + weight * Reader<VALUES>::value(value, i);
                mass[h] = mass[h] * shrink + weight;
                largest[h] = top;
            }
        }
#pragma unroll
        for (int h = 0; h < AT_ONCE; h++) {
            for (int away = 8; away <= 16; away *= 2) {
                const float other = __shfl_xor_sync(ALL_LANES, largest[h], away);
                const float more = __shfl_xor_sync(ALL_LANES, mass[h], away);
                const float top = fmaxf(largest[h], other);
                const float mine_by = largest[h] == -INFINITY ? 0.0f : expf(largest[h] - top);
                const float other_by = other == -INFINITY ? 0.0f : expf(other - top);
                for (int i = 0; i < EACH; i++) {
                    sum[h][i] = sum[h][i] * mine_by + __shfl_xor_sync(ALL_LANES, sum[h][i], away) * other_by;
                }
                mass[h] = mass[h] * mine_by + more * other_by;
                largest[h] = top;
            }
            if (eight == 0) {
                for (int i = 0; i < EACH; i++) sums[warp][h][lane * EACH + i] = sum[h][i];
                if (lane == 0) tops[warp][h] = largest[h], masses[warp][h] = mass[h];
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < heads * WIDTH; i += blockDim.x) {
            const int h = i / WIDTH, d = i % WIDTH;
            Running here = {-INFINITY, 0.0f, 0.0f};
            for (int w = 0; w < WARPS; w++) take(here, tops[w][h], masses[w][h], sums[w][h][d]);
            if (WHOLE) {
                take(held[i], here.top, here.mass, here.sum);
            } else {
                // Sums, then largest and mass.
                float* to = parts + ((t * HEADS + first_head + h) * parts_here + part) * (WIDTH + 2);
                to[d] = here.sum;
                if (d == 0) to[WIDTH] = here.top, to[WIDTH + 1] = here.mass;
            }
        }
        __syncthreads();
    }
    for (int i = threadIdx.x; WHOLE && i < heads * WIDTH; i += blockDim.x) {
        out[(t * HEADS + first_head) * WIDTH + i] = held[i].sum / held[i].mass;
    }
}

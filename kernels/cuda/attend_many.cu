// out[t, h] = sum over visible j of softmax(SCALE q[t, h] . k[j])  v[j], over pages of bf16; a sink adds exp(sink) under the
// sum. For steps of many tokens: queries and weights are rounded to bf16, sums are of f32.
//
// Split: a block a kv head and 64 rows, which are tokens times the GROUP heads that share it; a warp 16 of them. It walks the
// positions of each sequence that its tokens are of (mostly one) in pieces of 64, the next on its way while one is multiplied.
// Bytes: keys and values once for every 64 / GROUP tokens. Roofline: the rate of `mma.sync`; long prompts are bounded by it.
//
// Macros: HEADS, KV_HEADS, WIDTH (a multiple of 16, at most 128), PAGE_LEN, SCALE, WINDOW (0: none), SINKS (0 or 1), SINK (type).
#include "tensor.cuh"

#define GROUP (HEADS / KV_HEADS)
#define ROWS 64
#define TOKENS (ROWS / GROUP)
#define PIECE 64
#define THREADS 128
// Rows lie 8 elements further apart than they are long, so that the lanes of a warp read different banks.
#define STRIDE (WIDTH + 8)
#define STEPS (WIDTH / 16)
#define LOG2_E 1.44269504f

// A piece of keys and values of a sequence, from position `start` on; beyond `last`, the last again.
DEVICE void fetch(u16* piece, const u16* keys, const u16* values, const int* row, int base, int start, int last, int kv_head) {
    for (int i = threadIdx.x; i < PIECE * (WIDTH / 8); i += THREADS) {
        const int place = i / (WIDTH / 8), part = i % (WIDTH / 8), at = min(start + place, last);
        const i64 slot = (i64)row[at / PAGE_LEN - base] * PAGE_LEN + at % PAGE_LEN;
        const i64 from = (slot * KV_HEADS + kv_head) * WIDTH + part * 8;
        copy16_async(piece + place * STRIDE + part * 8, keys + from);
        copy16_async(piece + (PIECE + place) * STRIDE + part * 8, values + from);
    }
    close_copies();
}

KERNEL attend_many(float* out, const float* q, const u16* keys, const u16* values, const int* positions,
                   const int* sequences, const int* table, const int* base, const SINK* sinks, i64 pages, i64 tokens) {
    DYNAMIC_SHARED(u16, pieces);
    __shared__ int places[TOKENS], owners[TOKENS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int kv_head = blockIdx.y;
    // Later tokens see more: their blocks begin first.
    const i64 first = (i64)(gridDim.x - 1 - blockIdx.x) * TOKENS;
    const int here = (int)min((i64)TOKENS, tokens - first);
    for (int i = threadIdx.x; i < here; i += THREADS) places[i] = positions[first + i], owners[i] = sequences[first + i];
    __syncthreads();

    // Rows g and g + 8 of the warp's sixteen, their queries in the order of a left side.
    int row_token[2], row_place[2], row_owner[2];
    i64 row_at[2];
    for (int half = 0; half < 2; half++) {
        const int row = warp * 16 + g + half * 8, token = row / GROUP;
        const bool real = row < TOKENS * GROUP && token < here;
        row_token[half] = real ? token : -1;
        row_place[half] = real ? places[token] : -1;
        row_owner[half] = real ? owners[token] : -1;
        row_at[half] = ((first + (real ? token : 0)) * HEADS + kv_head * GROUP + row % GROUP) * WIDTH;
    }
    u32 queries[STEPS][4];
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const float* from = q + row_at[r % 2] + k * 16 + 2 * t + r / 2 * 8;
            const bool real = row_token[r % 2] >= 0;
            queries[k][r] = real ? bf16x2_of(from[0] * (SCALE * LOG2_E), from[1] * (SCALE * LOG2_E)) : 0;
        }
    }
    float sums[WIDTH / 8][4], largest[2] = {-INFINITY, -INFINITY}, mass[2] = {0.0f, 0.0f};
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++)
        for (int j = 0; j < 4; j++) sums[n][j] = 0.0f;

    for (int owner = owners[0]; owner <= owners[here - 1]; owner++) {
        int oldest = 0x7fffffff, newest = -1;
        for (int i = 0; i < here; i++) {
            if (owners[i] != owner) continue;
            oldest = min(oldest, WINDOW > 0 ? max(places[i] + 1 - WINDOW, 0) : 0);
            newest = max(newest, places[i]);
        }
        if (newest < 0) continue;
        const int* row = table + owner * pages;
        const int gone = base[owner];
        fetch(pieces, keys, values, row, gone, oldest, newest, kv_head);
        for (int start = oldest, turn = 0; start <= newest; start += PIECE, turn ^= 1) {
            u16* const piece = pieces + turn * 2 * PIECE * STRIDE;
            if (start + PIECE <= newest) {
                fetch(pieces + (1 - turn) * 2 * PIECE * STRIDE, keys, values, row, gone, start + PIECE, newest, kv_head);
                await_copies<1>();
            } else {
                await_copies<0>();
            }
            __syncthreads();
            float scores[PIECE / 8][4];
#pragma unroll
            for (int n = 0; n < PIECE / 8; n++) {
                for (int j = 0; j < 4; j++) scores[n][j] = 0.0f;
#pragma unroll
                for (int k = 0; k < STEPS; k++) {
                    const u16* b = piece + (n * 8 + g) * STRIDE + k * 16 + 2 * t;
                    mma(scores[n], queries[k], *(const u32*)b, *(const u32*)(b + 8));
                }
            }
            float top[2] = {largest[0], largest[1]};
#pragma unroll
            for (int n = 0; n < PIECE / 8; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const int at = start + n * 8 + 2 * t + j % 2, place = row_place[j / 2];
                    const bool seen = row_owner[j / 2] == owner && at <= place && (WINDOW == 0 || at > place - WINDOW);
                    if (!seen) scores[n][j] = -INFINITY;
                    top[j / 2] = fmaxf(top[j / 2], scores[n][j]);
                }
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                for (int away = 1; away <= 2; away *= 2) {
                    top[half] = fmaxf(top[half], __shfl_xor_sync(ALL_LANES, top[half], away));
                }
                const float shrink = top[half] == -INFINITY ? 1.0f : exp2f(largest[half] - top[half]);
                largest[half] = top[half];
                mass[half] *= shrink;
#pragma unroll
                for (int n = 0; n < WIDTH / 8; n++) sums[n][2 * half] *= shrink, sums[n][2 * half + 1] *= shrink;
            }
#pragma unroll
            for (int n = 0; n < PIECE / 8; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const float weight = scores[n][j] == -INFINITY ? 0.0f : exp2f(scores[n][j] - largest[j / 2]);
                    scores[n][j] = weight;
                    mass[j / 2] += weight;
                }
            }
#pragma unroll
            for (int k = 0; k < PIECE / 16; k++) {
                const u32 weights[4] = {bf16x2_of(scores[2 * k][0], scores[2 * k][1]), bf16x2_of(scores[2 * k][2], scores[2 * k][3]),
                                        bf16x2_of(scores[2 * k + 1][0], scores[2 * k + 1][1]),
                                        bf16x2_of(scores[2 * k + 1][2], scores[2 * k + 1][3])};
#pragma unroll
                for (int n = 0; n < WIDTH / 8; n += 2) {
                    // Positions 16 k to 16 k + 16, and two times eight elements of each.
                    u32 b[4];
                    load_turned(b, piece + (PIECE + k * 16 + lane % 16) * STRIDE + n * 8 + lane / 16 * 8);
                    mma(sums[n], weights, b[0], b[1]);
                    mma(sums[n + 1], weights, b[2], b[3]);
                }
            }
            __syncthreads();
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        for (int away = 1; away <= 2; away *= 2) mass[half] += __shfl_xor_sync(ALL_LANES, mass[half], away);
        if (row_token[half] < 0) continue;
        float by = 1.0f;
        if (SINKS) {
            const int head = kv_head * GROUP + (warp * 16 + g + half * 8) % GROUP;
            const float sink = to_f32(sinks[head]) * LOG2_E, all = fmaxf(largest[half], sink);
            by = exp2f(largest[half] - all);
            mass[half] = mass[half] * by + exp2f(sink - all);
        }
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            float* to = out + row_at[half] + n * 8 + 2 * t;
            to[0] = sums[n][2 * half] * by / mass[half];
            to[1] = sums[n][2 * half + 1] * by / mass[half];
        }
    }
}

// out[row, f] = x[row] . w[f] + bias[f] + add[row, f] for many rows of bf16, or ACTIVATION(x . gate[f] + ., x . up[f] + .) where
// GATED. Where there are EXPERTS, a row is a choice: of row row / SHARE of x and its expert's weights; `group.cu` has put the
// choices of an expert one behind another.
//
// Split: a block 128 features (64 of both weights where GATED) and 8 N_TILES TOKEN_WARPS rows; a warp two tiles of 16 features,
// four warps side by side. A row's sums do not depend on how many there are. Weights go from memory to the tensor cores' registers as they are packed; rows of x come in pieces of 64
// columns, the next while one is multiplied, and are shared. Where there are too few blocks, PARTS of the columns are summed
// apart, and `sum_parts.cu` finishes. Bytes: weights once for every block of rows, which share them through the second cache.
// Roofline: the rate of `mma.sync`, about 0.6 of what a Hopper's tensor cores can do; memory where rows are few.
//
// Macros: WIDTH, FEATURES, N_TILES (1 to 8), TOKEN_WARPS (1 or 2), PARTS, FORMAT (of tiles.cuh), BIASED, BIAS0, BIAS1 (types), ADDED, GATED,
// ACTIVATION, EXPERTS (0: none), SHARE.
#include "activation.cuh"
#include "tiles.cuh"

#define FEATURE_WARPS 4
#define ROW_TILES ((FEATURES + 15) / 16)
#define K_TILES (WIDTH / 64)
#define WARP_TOKENS (8 * N_TILES)
#define TOKENS (WARP_TOKENS * TOKEN_WARPS)
#define THREADS (32 * FEATURE_WARPS * TOKEN_WARPS)
// Rows of a piece, a little further apart than they are long.
#define STRIDE 72

// The choice, or row, in place `place` of the block's; beyond the last, the last again.
DEVICE i64 row_at(const int* order, i64 place, i64 rows) {
    const i64 at = min(place, rows - 1);
    return EXPERTS > 0 ? order[at] : at;
}

// One piece of x on its way to shared memory.
DEVICE void fetch(u16* piece, float* sums, const u16* x, const float* x_sums, const int* order, i64 first, i64 rows, int k) {
    for (int i = threadIdx.x; i < TOKENS * 8; i += THREADS) {
        const int token = i / 8, part = i % 8;
        const i64 row = row_at(order, first + token, rows) / SHARE;
        copy16_async(piece + token * STRIDE + part * 8, x + row * WIDTH + k * 64 + part * 8);
    }
    close_copies();
    if (FORMAT::MINS) {
        for (int i = threadIdx.x; i < TOKENS * 2; i += THREADS) {
            const i64 row = row_at(order, first + i / 2, rows) / SHARE;
            sums[i % 2 * TOKENS + i / 2] = x_sums[row * (WIDTH / 32) + k * 2 + i % 2];
        }
    }
}

KERNEL many(float* out, float* parts, const u16* x, const float* x_sums, const u8* w0, const u8* w1, const BIAS0* bias0,
            const BIAS1* bias1, const float* added, const int* order, const int* starts, i64 all_rows) {
    in_turn();
    __shared__ __align__(16) u16 pieces[2][TOKENS * STRIDE];
    __shared__ float piece_sums[2][2 * TOKENS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int tokens = warp / FEATURE_WARPS * WARP_TOKENS;
    // The rows first..rows of the order are the block's, with the weights of one expert.
    i64 first = (i64)blockIdx.y * TOKENS, rows = all_rows;
    int expert = 0;
    if (EXPERTS > 0) {
        int block = blockIdx.y;
        for (; expert < EXPERTS; expert++) {
            const int blocks = (starts[expert + 1] - starts[expert] + TOKENS - 1) / TOKENS;
            if (block < blocks) break;
            block -= blocks;
        }
        if (expert == EXPERTS) return;
        first = starts[expert] + (i64)block * TOKENS;
        rows = starts[expert + 1];
    }
    const i64 pair = (i64)blockIdx.x * FEATURE_WARPS + warp % FEATURE_WARPS;
    const i64 own = (i64)ROW_TILES * K_TILES, tiles = own * (EXPERTS > 0 ? EXPERTS : 1);
    // The two tiles of 16 features: neighbours, or the same of both weights. Beyond the last there is nothing to be kept.
    const i64 row_tiles[2] = {GATED ? pair : 2 * pair, GATED ? pair : 2 * pair + 1};
    const int each = (K_TILES + PARTS - 1) / PARTS, from = min((int)blockIdx.z * each, K_TILES);
    const int to = min(from + each, K_TILES);

    float sums[2][N_TILES][4];
#pragma unroll
    for (int s = 0; s < 2; s++)
        for (int n = 0; n < N_TILES; n++)
            for (int j = 0; j < 4; j++) sums[s][n][j] = 0.0f;

    if (from < to) fetch(pieces[0], piece_sums[0], x, x_sums, order, first, rows, from);
    for (int k = from; k < to; k++) {
        const int now = (k - from) % 2;
        FORMAT::Raw raw[2];
#pragma unroll
        for (int s = 0; s < 2; s++) {
            const i64 tile = expert * own + min(row_tiles[s], (i64)ROW_TILES - 1) * K_TILES + k;
            FORMAT::load(raw[s], GATED && s == 1 ? w1 : w0, tiles, tile, k, lane);
        }
        // Nobody reads the other piece any more: all have passed the barrier behind its products.
        if (k + 1 < to) {
            fetch(pieces[1 - now], piece_sums[1 - now], x, x_sums, order, first, rows, k + 1);
            await_copies<1>();
        } else {
            await_copies<0>();
        }
        __syncthreads();
        const int groups = FORMAT::GROUPS > 0 ? FORMAT::GROUPS : 1, products = 4 / groups;
#pragma unroll
        for (int group = 0; group < groups; group++) {
            u32 a[2][4][4];
#pragma unroll
            for (int m = 0; m < products; m++) {
                for (int s = 0; s < 2; s++) FORMAT::fragment(raw[s], group * products + m, a[s][m]);
            }
#pragma unroll
            for (int n = 0; n < N_TILES; n++) {
                float part[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
                for (int m = 0; m < products; m++) {
                    const u16* b = pieces[now] + (tokens + n * 8 + g) * STRIDE + (group * products + m) * 16 + 2 * t;
                    const u32 b0 = *(const u32*)b, b1 = *(const u32*)(b + 8);
#pragma unroll
                    for (int s = 0; s < 2; s++) mma(FORMAT::GROUPS > 0 ? part[s] : sums[s][n], a[s][m], b0, b1);
                }
                if (FORMAT::GROUPS == 0) continue;
#pragma unroll
                for (int s = 0; s < 2; s++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        sums[s][n][j] += FORMAT::scale(raw[s], j / 2, group) * part[s][j];
                        if (FORMAT::MINS) {
                            const float sum = piece_sums[now][group * TOKENS + tokens + n * 8 + 2 * t + j % 2];
                            sums[s][n][j] -= FORMAT::least(raw[s], j / 2, group) * sum;
                        }
                    }
                }
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int n = 0; n < N_TILES; n++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const i64 place = first + tokens + n * 8 + 2 * t + j % 2;
            if (place >= rows) continue;
            const i64 row = row_at(order, place, rows);
#pragma unroll
            for (int s = 0; s < 2; s++) {
                const i64 feature = row_tiles[s] * 16 + g + j / 2 * 8;
                if (feature >= FEATURES) continue;
                if (PARTS > 1) {
                    parts[(((i64)blockIdx.z * (1 + GATED) + (GATED ? s : 0)) * rows + row) * FEATURES + feature] = sums[s][n][j];
                    continue;
                }
                if (GATED && s == 1) continue;
                float y = sums[s][n][j];
                if (BIASED) y += to_f32(bias0[expert * FEATURES + feature]);
                const float up = BIASED && GATED ? to_f32(bias1[expert * FEATURES + feature]) : 0.0f;
                if (GATED) y = ACTIVATION(y, sums[1][n][j] + up);
                const i64 at = row * FEATURES + feature;
                out[at] = ADDED ? added[at] + y : y;
            }
        }
    }
}

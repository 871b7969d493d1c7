// out[row, f] = x[row] . w[f] + bias[f] + add[row, f] for a few rows, or ACTIVATION(x . gate[f] + ., x . up[f] + .) where GATED;
// up to three products of the same x, and x normed before where NORMED. Where there are EXPERTS, a row is a choice: of row
// row / SHARE of x and the weights of the expert chosen[row], which lie one behind another.
//
// Split: a block goes from 16 features to 16 features; its 8 warps share the columns, and sum at the end. Tensor cores
// multiply, for there are too many unpacked values for anything else to keep up with memory: rows of x are columns of their
// right side. x is split into TERMS bf16 that sum to it: three are all of an f32's bits, one is its rounding.
// Bytes: packed weights, once; x from the cache for each block. Roofline: the bandwidth of memory.
//
// Macros: WIDTH, ROWS, TERMS (ROWS TERMS <= 8), SETS (1 to 3), FORMAT0.. (of tiles.cuh), FEATURES0.., BIASED, BIAS0..
// (types), ADDED, GATED, ACTIVATION, NORMED, EPS, NORM (type), EXPERTS (0: none), SHARE, EARLY (0 or 1: the
// launch may begin before the one before has ended, and asks for its first weights meanwhile).
#include "activation.cuh"
#include "tiles.cuh"

#define WARPS 8
#define COLUMNS (ROWS * TERMS)
#define EARLY_BYTES (64 << 10)
#define K_TILES (WIDTH / 64)
// Rows of x lie 8 elements further apart than they are long, so that the lanes of a warp read different banks.
#define STRIDE (WIDTH + 8)
#define ROW_TILES(features) (((features) + 15) / 16)
#define ALL_TILES(features) (ROW_TILES(features) * (EXPERTS > 0 ? EXPERTS : 1))

// The columns first..end of 16 features, added to the lane's part of the result.
template <class Format>
DEVICE void add(float* sums, const u8* w, i64 row_tiles, i64 row_tile, int first, int end, const u16* xs,
                const float* x_sums) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const i64 tiles = row_tiles * K_TILES;
    for (int k = first; k < end; k += Format::AHEAD) {
        typename Format::Raw raw[Format::AHEAD];
#pragma unroll
        for (int i = 0; i < Format::AHEAD; i++) {
            if (k + i < end) Format::load(raw[i], w, tiles, row_tile * K_TILES + k + i, k + i, lane);
        }
#pragma unroll
        for (int i = 0; i < Format::AHEAD; i++) {
            if (k + i >= end) break;
            const int groups = Format::GROUPS > 0 ? Format::GROUPS : 1, each = 4 / groups;
#pragma unroll
            for (int group = 0; group < groups; group++) {
                float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
                for (int m = group * each; m < (group + 1) * each; m++) {
                    u32 a[4];
                    Format::fragment(raw[i], m, a);
                    const u16* x = xs + g * STRIDE + (k + i) * 64 + m * 16 + 2 * t;
                    const u32 b0 = g < COLUMNS ? *(const u32*)x : 0, b1 = g < COLUMNS ? *(const u32*)(x + 8) : 0;
                    mma(Format::GROUPS > 0 ? part : sums, a, b0, b1);
                }
                if (Format::GROUPS == 0) continue;
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sums[j] += Format::scale(raw[i], j / 2, group) * part[j];
                    if (Format::MINS) {
                        const float sum = x_sums[((k + i) * 2 + group) * 8 + 2 * t + j % 2];
                        sums[j] -= Format::least(raw[i], j / 2, group) * sum;
                    }
                }
            }
        }
    }
}

// Rows of x, normed where that is wanted, as bf16 that sum to them; and the sums over 32 columns.
DEVICE void stage(u16* xs, float* x_sums, const float* x, const NORM* norm, int rows) {
    for (int row = 0; row < ROWS; row++) {
        const float* from = x + (i64)row * WIDTH;
        float factor = 1.0f;
        if (NORMED) {
            float sum = 0.0f;
            for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) sum += row < rows ? from[i] * from[i] : 0.0f;
            factor = 1.0f / sqrtf(block_sum(sum) / (float)WIDTH + EPS);
        }
        for (int i = threadIdx.x; i < WIDTH; i += blockDim.x) {
            float left = row < rows ? from[i] : 0.0f;
            if (NORMED) left = left * factor * to_f32(norm[i]);
            for (int term = 0; term < TERMS; term++) {
                const u16 bits = bfloat_of_float(left);
                xs[(row * TERMS + term) * STRIDE + i] = bits;
                left -= float_of_bfloat(bits);
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < WIDTH / 32 * 8; i += blockDim.x) {
        float sum = 0.0f;
        for (int k = 0; k < 32 && i % 8 < COLUMNS; k++) sum += float_of_bfloat(xs[i % 8 * STRIDE + i / 8 * 32 + k]);
        x_sums[i] = sum;
    }
    __syncthreads();
}

template <class Bias>
DEVICE float finished(const float (*parts)[16 * 8], int r, int row, const Bias* bias, i64 feature) {
    float y = 0.0f;
    for (int term = 0; term < TERMS; term++) {
        for (int warp = 0; warp < WARPS; warp++) y += parts[warp][r * 8 + row * TERMS + term];
    }
    return BIASED ? y + to_f32(bias[feature]) : y;
}

// 16 features of one product, or of both of a gated one.
template <class Format, class Bias>
DEVICE void tile(float* out, const u8* w, const Bias* bias, const u8* w1, const BIAS1* bias1, const float* added, i64 features,
                 i64 row_tile, const u16* xs, const float* x_sums, i64 first, int rows, int expert) {
    __shared__ float parts[1 + GATED][WARPS][16 * 8];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int each = (K_TILES + WARPS - 1) / WARPS, from = min(warp * each, K_TILES), to = min(from + each, K_TILES);
    const i64 own = row_tile + expert * ROW_TILES(features);
    float sums[1 + GATED][4];
#pragma unroll
    for (int set = 0; set < 1 + GATED; set++) {
        for (int i = 0; i < 4; i++) sums[set][i] = 0.0f;
        if (set == 0) {
            add<Format>(sums[set], w, ALL_TILES(features), own, from, to, xs, x_sums);
        } else {
            add<FORMAT1>(sums[set], w1, ALL_TILES(features), own, from, to, xs, x_sums);
        }
        for (int i = 0; i < 4; i++) parts[set][warp][(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[set][i];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * ROWS; i += blockDim.x) {
        const int r = i % 16, row = i / 16;
        const i64 feature = row_tile * 16 + r;
        if (row >= rows || feature >= features) continue;
        float y = finished(parts[0], r, row, bias, expert * features + feature);
        if (GATED) y = ACTIVATION(y, finished(parts[GATED], r, row, bias1, expert * features + feature));
        const i64 at = (first + row) * features + feature;
        out[at] = ADDED ? added[at] + y : y;
    }
    __syncthreads();
}

KERNEL few(float* out0, float* out1, float* out2, const float* x, const NORM* norm, const u8* w0, const u8* w1, const u8* w2,
           const BIAS0* bias0, const BIAS1* bias1, const BIAS2* bias2, const float* added,
           const int* chosen, i64 rows) {
    DYNAMIC_SHARED(u16, xs);
    float* const x_sums = (float*)(xs + COLUMNS * STRIDE);
    const i64 first = (i64)blockIdx.y * ROWS;
    const int here = rows - first < ROWS ? (int)(rows - first) : ROWS;
    if (EARLY) {
        let_next_begin();
        // Codes of the block's first tiles, as far as is sure to fit the second cache beside those of the others.
        const i64 row_bytes = FORMAT0::bytes(1) / 256 * 256 * K_TILES, asked = min(row_bytes, (i64)EARLY_BYTES);
        const u8* const at = w0 + min((i64)blockIdx.x, (i64)ALL_TILES(FEATURES0) - 1) * row_bytes;
        for (i64 i = threadIdx.x * 128; i < asked; i += blockDim.x * 128) ask_for_line(at + i);
        await_previous();
    }
    const int expert = EXPERTS > 0 ? chosen[first] : 0;
    stage(xs, x_sums, x + (EXPERTS > 0 ? first / SHARE : first) * WIDTH, norm, here);
    const i64 tiles0 = ROW_TILES(FEATURES0), tiles1 = SETS > 1 ? ROW_TILES(FEATURES1) : 0;
    const i64 tiles2 = SETS > 2 ? ROW_TILES(FEATURES2) : 0;
    for (i64 i = blockIdx.x; i < tiles0 + tiles1 + tiles2; i += gridDim.x) {
        if (i < tiles0) {
            tile<FORMAT0>(out0, w0, bias0, w1, bias1, added, FEATURES0, i, xs, x_sums, first, here, expert);
        } else if (SETS > 1 && i < tiles0 + tiles1) {
            tile<FORMAT1>(out1, w1, bias1, w1, bias1, added, FEATURES1, i - tiles0, xs, x_sums, first, here, expert);
        } else if (SETS > 2) {
            tile<FORMAT2>(out2, w2, bias2, w1, bias1, added, FEATURES2, i - tiles0 - tiles1, xs, x_sums, first, here, expert);
        }
    }
}

// out[t] = table[tokens[t]], as f32, of a table that is packed because it makes the logits too.
//
// Split: a block a token, a thread 16 of a tile's 64 columns. Bytes: of a row, and of the rows beside it in its tiles.
//
// Macros: FORMAT (of tiles.cuh), WIDTH, FEATURES.
#include "tiles.cuh"

KERNEL embed_tiles(float* out, const int* tokens, const u8* table, const int* previous, i64 count) {
    in_turn();
    const i64 tiles = (i64)((FEATURES + 15) / 16) * (WIDTH / 64);
    for (i64 at = blockIdx.x; at < count; at += gridDim.x) {
        const int row = token_id(tokens, at, previous), half = row % 16 / 8;
        for (int i = threadIdx.x; i < WIDTH / 64 * 4; i += blockDim.x) {
            const int k = i / 4, t = i % 4;
            FORMAT::Raw raw;
            FORMAT::load(raw, table, tiles, (i64)(row / 16) * (WIDTH / 64) + k, k, row % 8 * 4 + t);
            for (int m = 0; m < 4; m++) {
                u32 a[4];
                FORMAT::fragment(raw, m, a);
                const int group = FORMAT::GROUPS > 0 ? m * FORMAT::GROUPS / 4 : 0;
                const float scale = FORMAT::scale(raw, half, group), least = FORMAT::least(raw, half, group);
                for (int j = 0; j < 4; j++) {
                    const u32 pair = a[j / 2 * 2 + half];
                    const float code = float_of_bfloat(j % 2 == 0 ? pair & 0xffffu : pair >> 16);
                    out[at * WIDTH + k * 64 + m * 16 + 2 * t + j / 2 * 8 + j % 2] =
                        __fsub_rn(__fmul_rn(scale, code), least);
                }
            }
        }
    }
}

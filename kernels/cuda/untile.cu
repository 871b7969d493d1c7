// to[feature, column] of a packed weight of bf16, row by row, as a library's products want it.
//
// Split: a warp a tile, four warps a block. Bytes: 2 read and 2 written for each value, both in whole lines.
//
// Macros: WIDTH, FEATURES.
#include "tiles.cuh"

#define WARPS 4
#define K_TILES (WIDTH / 64)
// Words of a tile's row, a little further apart than they are long.
#define STRIDE 36

KERNEL untile(u16* to, const u8* w) {
    __shared__ __align__(16) u32 all[WARPS][16 * STRIDE];
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const i64 tiles = (i64)((FEATURES + 15) / 16) * K_TILES;
    u32* const words = all[threadIdx.x / 32];
    for (i64 tile = (i64)blockIdx.x * WARPS + threadIdx.x / 32; tile < tiles; tile += (i64)gridDim.x * WARPS) {
        TileBF16::Raw raw;
        TileBF16::load(raw, w, tiles, tile, 0, lane);
        for (int m = 0; m < 4; m++) {
            u32 a[4];
            TileBF16::fragment(raw, m, a);
            for (int r = 0; r < 4; r++) words[(g + r % 2 * 8) * STRIDE + m * 8 + r / 2 * 4 + t] = a[r];
        }
        __syncwarp();
        for (int i = lane; i < 16 * 8; i += 32) {
            const i64 feature = tile / K_TILES * 16 + i / 8;
            if (feature >= FEATURES) continue;
            *(uint4*)(to + feature * WIDTH + tile % K_TILES * 64 + i % 8 * 8) = *(const uint4*)(words + i / 8 * STRIDE + i % 8 * 4);
        }
        // Nobody reads the words any more.
        __syncwarp();
    }
}

// Packed weights: tiles of 16 rows and 64 columns in the order in which the lanes of a warp hand them to tensor cores, so
// that a warp reads whole lines, 16 bytes a lane.
//
// A matrix of ROW_TILES x K_TILES tiles is several planes, one behind another: codes, high bits of codes, scales of groups,
// scales of longer blocks. With g = lane / 4, t = lane % 4, product m of a tile's four and register r of its four, a lane
// holds the codes of row g + 8 (r % 2) and columns 16 m + 2 t + 8 (r / 2) and the next. `crates/cuda/src/pack` writes it.
//
// Codes become bf16 without a conversion: 128 + code is code under the exponent of 128, and one exact sum takes the 128 and
// the format's own offset away.
//
// A format has: a `Raw` of registers that `load` fills, `fragment(raw, m, a)`, and, where GROUPS is not 0, of each of the
// GROUPS equal parts of a tile's columns the scale of row g (half 0) or g + 8 (half 1), and, where MINS, what is taken off.
#include "tensor.cuh"

#define BIASED_128 0x43004300u
#define ONES 0x3f803f80u

// Codes of 4 bits: two of a register, which lie 16 bits apart.
DEVICE u32 nibbles(u32 word, int r) {
    return word >> (4 * r) & 0x000f000fu;
}

DEVICE u32 word_of(const uint4& x, int i) {
    return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
}

DEVICE float half_of_word(u32 word, int half) {
    return float_of_half((u16)(word >> (16 * half)));
}

struct TileBF16 {
    static const int GROUPS = 0, MINS = 0, AHEAD = 2;
    struct Raw {
        uint4 m[4];
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * 2048; }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        for (int m = 0; m < 4; m++) raw.m[m] = stream16(w + tile * 2048 + m * 512 + lane * 16);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        a[0] = raw.m[m].x, a[1] = raw.m[m].y, a[2] = raw.m[m].z, a[3] = raw.m[m].w;
    }
    static DEVICE float scale(const Raw&, int, int) { return 1.0f; }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

struct TileQ8_0 {
    static const int GROUPS = 2, MINS = 0, AHEAD = 2;
    struct Raw {
        uint4 codes[2];
        uint2 scales;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (1024 + 64); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        for (int h = 0; h < 2; h++) raw.codes[h] = stream16(w + tile * 1024 + h * 512 + lane * 16);
        raw.scales = stream8(w + tiles * 1024 + tile * 64 + lane / 4 * 8);
    }
    // Of a byte in two's complement, 128 + its lower seven bits, less 128 or, where the eighth is set, 256.
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) {
            const u32 pair = word_of(raw.codes[m / 2], m % 2 * 2 + r / 2) >> (8 * (r % 2));
            const u32 low = (pair & 0x007f007fu) | BIASED_128, off = (pair & 0x00800080u) | BIASED_128;
            a[r] = fma_bf16x2(off, 0xbf80bf80u, low);
        }
    }
    static DEVICE float scale(const Raw& raw, int half, int group) {
        return half_of_word(half == 0 ? raw.scales.x : raw.scales.y, group);
    }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

struct TileQ4_0 {
    static const int GROUPS = 2, MINS = 0, AHEAD = 4;
    struct Raw {
        uint4 codes;
        uint2 scales;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (512 + 64); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        raw.codes = stream16(w + tile * 512 + lane * 16);
        raw.scales = stream8(w + tiles * 512 + tile * 64 + lane / 4 * 8);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        // Less 128 + 8.
        for (int r = 0; r < 4; r++) a[r] = fma_bf16x2(nibbles(word_of(raw.codes, m), r) | BIASED_128, ONES, 0xc308c308u);
    }
    static DEVICE float scale(const Raw& raw, int half, int group) {
        return half_of_word(half == 0 ? raw.scales.x : raw.scales.y, group);
    }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

struct TileMXFP4 {
    static const int GROUPS = 2, MINS = 0, AHEAD = 4;
    struct Raw {
        uint4 codes;
        u32 exponents;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (512 + 32); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        raw.codes = stream16(w + tile * 512 + lane * 16);
        raw.exponents = stream4(w + tiles * 512 + tile * 32 + lane / 4 * 4);
    }
    // Sign, exponent and mantissa of an e2m1 in those of a bf16 give it times 2^-126; times 2^127 it is twice the value.
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) {
            const u32 pair = nibbles(word_of(raw.codes, m), r);
            a[r] = fma_bf16x2((pair & 0x00080008u) << 12 | (pair & 0x00070007u) << 6, 0x7f007f00u, 0x80008000u);
        }
    }
    static DEVICE float scale(const Raw& raw, int half, int group) {
        const int exponent = raw.exponents >> (16 * half + 8 * group) & 255u;
        return __uint_as_float(exponent > 1 ? (u32)(exponent - 1) << 23 : 0x00200000u << exponent);
    }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

// Sign, exponent and mantissa of an e4m3 in those of a bf16 give it times 2^-120, to which a product with 2^120 is exact. GPUs
// from sm_89 on convert such floats themselves, to f16, and then there would still be bf16 to be made of that. Codes that are
// no numbers are none here: no file with one is read.
struct TileF8_E4M3 {
    static const int GROUPS = 1, MINS = 0, AHEAD = 2;
    struct Raw {
        uint4 codes[2];
        uint2 scales;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (1024 + 32); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        for (int h = 0; h < 2; h++) raw.codes[h] = stream16(w + tile * 1024 + h * 512 + lane * 16);
        raw.scales = stream8(w + tiles * 1024 + tile / 2 * 64 + lane / 4 * 8);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) {
            const u32 word = word_of(raw.codes[m / 2], m % 2 * 2 + r / 2), pair = r % 2 == 0 ? word << 8 : word;
            a[r] = fma_bf16x2((pair & 0x80008000u) | (pair & 0x7f007f00u) >> 4, 0x7b807b80u, 0x80008000u);
        }
    }
    static DEVICE float scale(const Raw& raw, int half, int) {
        return __uint_as_float(half == 0 ? raw.scales.x : raw.scales.y);
    }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

// Q4_K and Q5_K: a scale and a min of a byte each for 32 columns, under two f16 for 256.
struct TileQ4_K {
    static const int GROUPS = 2, MINS = 1, AHEAD = 4;
    struct Raw {
        uint4 codes;
        uint2 scales, supers;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (512 + 64 + 16); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        raw.codes = stream16(w + tile * 512 + lane * 16);
        raw.scales = stream8(w + tiles * 512 + tile * 64 + lane / 4 * 8);
        raw.supers = stream8(w + tiles * (512 + 64) + tile / 4 * 64 + lane / 4 * 8);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) a[r] = fma_bf16x2(nibbles(word_of(raw.codes, m), r) | BIASED_128, ONES, 0xc300c300u);
    }
    static DEVICE float scale(const Raw& raw, int half, int group) {
        const u32 pairs = half == 0 ? raw.scales.x : raw.scales.y, super = half == 0 ? raw.supers.x : raw.supers.y;
        return half_of_word(super, 0) * (float)(pairs >> (16 * group) & 255u);
    }
    static DEVICE float least(const Raw& raw, int half, int group) {
        const u32 pairs = half == 0 ? raw.scales.x : raw.scales.y, super = half == 0 ? raw.supers.x : raw.supers.y;
        return half_of_word(super, 1) * (float)(pairs >> (16 * group + 8) & 255u);
    }
};

struct TileQ5_K {
    static const int GROUPS = 2, MINS = 1, AHEAD = 4;
    struct Raw {
        TileQ4_K::Raw low;
        u32 high;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (512 + 128 + 64 + 16); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        raw.low.codes = stream16(w + tile * 512 + lane * 16);
        raw.high = stream4(w + tiles * 512 + tile * 128 + lane * 4);
        raw.low.scales = stream8(w + tiles * 640 + tile * 64 + lane / 4 * 8);
        raw.low.supers = stream8(w + tiles * (640 + 64) + tile / 4 * 64 + lane / 4 * 8);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) {
            const u32 fifth = (raw.high >> (4 * m + r) & 0x00010001u) << 4;
            a[r] = fma_bf16x2(nibbles(word_of(raw.low.codes, m), r) | fifth | BIASED_128, ONES, 0xc300c300u);
        }
    }
    static DEVICE float scale(const Raw& raw, int half, int group) { return TileQ4_K::scale(raw.low, half, group); }
    static DEVICE float least(const Raw& raw, int half, int group) { return TileQ4_K::least(raw.low, half, group); }
};

// A signed byte for 16 columns, under an f16 for 256.
struct TileQ6_K {
    static const int GROUPS = 4, MINS = 0, AHEAD = 2;
    struct Raw {
        uint4 codes;
        uint2 high, scales;
        u32 supers;
    };
    static DEVICE constexpr i64 bytes(i64 tiles) { return tiles * (512 + 256 + 64 + 8); }
    static DEVICE void load(Raw& raw, const u8* w, i64 tiles, i64 tile, int, int lane) {
        raw.codes = stream16(w + tile * 512 + lane * 16);
        raw.high = stream8(w + tiles * 512 + tile * 256 + lane * 8);
        raw.scales = stream8(w + tiles * 768 + tile * 64 + lane / 4 * 8);
        raw.supers = stream4(w + tiles * (768 + 64) + tile / 4 * 32 + lane / 4 * 4);
    }
    static DEVICE void fragment(const Raw& raw, int m, u32* a) {
        for (int r = 0; r < 4; r++) {
            const u32 high = ((m < 2 ? raw.high.x : raw.high.y) >> (2 * (m % 2 * 4 + r)) & 0x00030003u) << 4;
            // Less 128 + 32.
            a[r] = fma_bf16x2(nibbles(word_of(raw.codes, m), r) | high | BIASED_128, ONES, 0xc320c320u);
        }
    }
    static DEVICE float scale(const Raw& raw, int half, int group) {
        const u32 bytes = half == 0 ? raw.scales.x : raw.scales.y;
        return half_of_word(raw.supers, half) * (float)(i8)(bytes >> (8 * group));
    }
    static DEVICE float least(const Raw&, int, int) { return 0.0f; }
};

// What stored weights mean: 32 values of a row at a time, from the layouts that GGUF gives them (8-bit floats, which it does
// not have, from that of `tensor`), rounded as `tensor::blocks` rounds: `scale * code - min` twice, never fused.
//
// A format is a type with `bytes(n)`, the bytes of n values in whole blocks, and `decode(row, g, left, values)`, which
// gives values 32 g to 32 g + left of a row; blocks begin at any byte. Types that states may have can also `encode`.

template <class T>
struct Dense {
    static DEVICE constexpr i64 bytes(i64 n) { return n * (i64)sizeof(T); }
    static DEVICE void decode(const u8* row, i64 g, int left, float* values) {
        const T* from = (const T*)row + g * 32;
        for (int i = 0; i < 32; i++) values[i] = i < left ? to_f32(from[i]) : 0.0f;
    }
    static DEVICE void encode(const float* values, int left, i64 g, u8* row) {
        T* to = (T*)row + g * 32;
        for (int i = 0; i < left; i++) to[i] = from_f32<T>(values[i]);
    }
};
typedef Dense<float> F32;
typedef Dense<f16> F16;
typedef Dense<bf16> BF16;

DEVICE float half_at(const u8* at) {
    return float_of_half((u16)(at[0] | at[1] << 8));
}

// Blocks of 32 values in BYTES bytes.
template <int BYTES>
struct Blocks32 {
    static DEVICE constexpr i64 bytes(i64 n) { return n / 32 * BYTES; }
};

// Blocks of 256 values.
template <int BYTES>
struct Blocks256 {
    static DEVICE constexpr i64 bytes(i64 n) { return n / 256 * BYTES; }
    static DEVICE const u8* block(const u8* row, i64 g) { return row + g / 8 * BYTES; }
};

struct Q4_0 : Blocks32<18> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 18;
        const float scale = half_at(block);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * (float)((block[2 + i] & 15) - 8);
            values[i + 16] = scale * (float)((block[2 + i] >> 4) - 8);
        }
    }
};

struct Q4_1 : Blocks32<20> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 20;
        const float scale = half_at(block), least = half_at(block + 2);
        for (int i = 0; i < 16; i++) {
            values[i] = __fadd_rn(__fmul_rn(scale, (float)(block[4 + i] & 15)), least);
            values[i + 16] = __fadd_rn(__fmul_rn(scale, (float)(block[4 + i] >> 4)), least);
        }
    }
};

DEVICE u32 word_at(const u8* at) {
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

struct Q5_0 : Blocks32<22> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 22;
        const float scale = half_at(block);
        const u32 high = word_at(block + 2);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * (float)((int)((block[6 + i] & 15) | (high >> i & 1) << 4) - 16);
            values[i + 16] = scale * (float)((int)(block[6 + i] >> 4 | (high >> (i + 16) & 1) << 4) - 16);
        }
    }
};

struct Q5_1 : Blocks32<24> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 24;
        const float scale = half_at(block), least = half_at(block + 2);
        const u32 high = word_at(block + 4);
        for (int i = 0; i < 16; i++) {
            const float low = (float)((block[8 + i] & 15) | (high >> i & 1) << 4);
            const float up = (float)(block[8 + i] >> 4 | (high >> (i + 16) & 1) << 4);
            values[i] = __fadd_rn(__fmul_rn(scale, low), least);
            values[i + 16] = __fadd_rn(__fmul_rn(scale, up), least);
        }
    }
};

struct Q8_0 : Blocks32<34> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 34;
        const float scale = half_at(block);
        for (int i = 0; i < 32; i++) values[i] = scale * (float)(i8)block[2 + i];
    }
    // The largest magnitude becomes 127, ties go away from zero, and codes are rounded under the exact scale.
    static DEVICE void encode(const float* values, int, i64 g, u8* row) {
        u32 largest = 0;
        for (int i = 0; i < 32; i++) {
            const u32 magnitude = __float_as_uint(values[i]) & 0x7fffffffu;
            largest = magnitude > largest ? magnitude : largest;
        }
        const float scale = __fdiv_rn(__uint_as_float(largest), 127.0f);
        const float inverse = __fdiv_rn(1.0f, scale);
        const float factor = isfinite(inverse) ? inverse : 0.0f;
        u8* block = row + g * 34;
        const u16 bits = half_of_float(scale);
        block[0] = (u8)bits;
        block[1] = (u8)(bits >> 8);
        for (int i = 0; i < 32; i++) {
            const float code = __fmul_rn(values[i], factor);
            const float sum = __fadd_rn(code, 12582912.0f);
            const float rest = __fsub_rn(code, __fsub_rn(sum, 12582912.0f));
            int rounded = (int)__float_as_uint(sum);
            rounded += rest == 0.5f && code > 0.0f ? 1 : 0;
            rounded -= rest == -0.5f && code < 0.0f ? 1 : 0;
            block[2 + i] = (u8)rounded;
        }
    }
};

struct Q2_K : Blocks256<84> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const float scale = half_at(b + 80), least = half_at(b + 82);
        const int group = (int)(g % 8), shift = group % 4 * 2;
        for (int i = 0; i < 32; i++) {
            const u8 packed = b[group * 2 + i / 16];
            const u8 code = b[16 + group / 4 * 32 + i] >> shift & 3;
            const float s = scale * (float)(packed & 15), m = least * (float)(packed >> 4);
            values[i] = __fsub_rn(__fmul_rn(s, (float)code), m);
        }
    }
};

struct Q3_K : Blocks256<110> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const float scale = half_at(b + 108);
        const int group = (int)(g % 8), shift = group % 4 * 2;
        for (int i = 0; i < 32; i++) {
            const int s = group * 2 + i / 16;
            const int low = b[96 + s % 8] >> (s / 8 * 4) & 15;
            const int high = b[96 + 8 + s % 4] >> (s / 4 * 2) & 3;
            const float factor = scale * (float)((low | high << 4) - 32);
            const int code = (b[32 + group / 4 * 32 + i] >> shift & 3) | (b[i] >> group & 1) << 2;
            values[i] = factor * (float)(code - 4);
        }
    }
};

// The scale and min of a group of a block of Q4_K or Q5_K: six bits each, times the block's own.
DEVICE void scale_and_min(const u8* block, int group, float* scale, float* least) {
    const u8* packed = block + 4;
    if (group < 4) {
        *scale = (float)(packed[group] & 63);
        *least = (float)(packed[group + 4] & 63);
    } else {
        *scale = (float)((packed[group + 4] & 15) | packed[group - 4] >> 6 << 4);
        *least = (float)(packed[group + 4] >> 4 | packed[group] >> 6 << 4);
    }
    *scale *= half_at(block);
    *least *= half_at(block + 2);
}

struct Q4_K : Blocks256<144> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const int group = (int)(g % 8);
        float scale, least;
        scale_and_min(b, group, &scale, &least);
        for (int i = 0; i < 32; i++) {
            const int code = b[16 + group / 2 * 32 + i] >> (group % 2 * 4) & 15;
            values[i] = __fsub_rn(__fmul_rn(scale, (float)code), least);
        }
    }
};

struct Q5_K : Blocks256<176> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const int group = (int)(g % 8);
        float scale, least;
        scale_and_min(b, group, &scale, &least);
        for (int i = 0; i < 32; i++) {
            const int code = (b[48 + group / 2 * 32 + i] >> (group % 2 * 4) & 15) | (b[16 + i] >> group & 1) << 4;
            values[i] = __fsub_rn(__fmul_rn(scale, (float)code), least);
        }
    }
};

struct Q6_K : Blocks256<210> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const float scale = half_at(b + 208);
        const int group = (int)(g % 8), half = group / 4, quarter = group % 4;
        for (int i = 0; i < 32; i++) {
            const float factor = scale * (float)(i8)b[192 + group * 2 + i / 16];
            const int low = b[half * 64 + quarter % 2 * 32 + i] >> (quarter / 2 * 4) & 15;
            const int high = b[128 + half * 32 + i] >> (quarter * 2) & 3;
            values[i] = factor * (float)((low | high << 4) - 32);
        }
    }
};

// What codes of 4 bits stand for before they are scaled; grids of signed bytes, four to a word.
DEVICE float iq4_code(int code) {
    const u32 grid[4] = {0xBFAD9881u, 0xF6EADDCFu, 0x26190D01u, 0x71594535u};
    return (float)(i8)(grid[code / 4] >> (code % 4 * 8));
}

DEVICE float e2m1_twice(int code) {
    const u32 grid[2] = {0x03020100u, 0x0C080604u};
    const float x = (float)(grid[code / 4 % 2] >> (code % 4 * 8) & 255u);
    return code >= 8 ? 0.0f - x : x;
}

struct IQ4_NL : Blocks32<18> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 18;
        const float scale = half_at(block);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * iq4_code(block[2 + i] & 15);
            values[i + 16] = scale * iq4_code(block[2 + i] >> 4);
        }
    }
};

struct IQ4_XS : Blocks256<136> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* b = block(row, g);
        const int group = (int)(g % 8);
        const int low = b[4 + group / 2] >> (group % 2 * 4) & 15;
        const int high = (b[2] | b[3] << 8) >> (2 * group) & 3;
        const float scale = half_at(b) * (float)((low | high << 4) - 32);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * iq4_code(b[8 + group * 16 + i] & 15);
            values[i + 16] = scale * iq4_code(b[8 + group * 16 + i] >> 4);
        }
    }
};

// 2^(exponent - 128); the two smallest are subnormal.
DEVICE float mx_scale(int exponent) {
    return __uint_as_float(exponent > 1 ? (u32)(exponent - 1) << 23 : 0x00200000u << exponent);
}

struct MXFP4 : Blocks32<17> {
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g * 17;
        const float scale = mx_scale(block[0]);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * e2m1_twice(block[1 + i] & 15);
            values[i + 16] = scale * e2m1_twice(block[1 + i] >> 4);
        }
    }
};

// What an e4m3 stands for: its exponent and mantissa in those of an f32 are the value times 2^-120.
DEVICE float e4m3(u32 code) {
    const float x = __fmul_rn(__uint_as_float((code & 0x7fu) << 20), __uint_as_float(0x7b800000u));
    const float magnitude = (code & 0x7fu) == 0x7fu ? NAN : x;
    return code & 0x80u ? -magnitude : magnitude;
}

struct F8_E4M3 {
    static DEVICE constexpr i64 bytes(i64 n) { return n / 128 * 132; }
    static DEVICE void decode(const u8* row, i64 g, int, float* values) {
        const u8* block = row + g / 4 * 132;
        const float scale = __uint_as_float(word_at(block));
        for (int i = 0; i < 32; i++) values[i] = __fmul_rn(scale, e4m3(block[4 + g % 4 * 32 + i]));
    }
};

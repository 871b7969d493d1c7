// What every kernel sees: short names of types, the two half-wide floats, sums over warps and blocks.
//
// A warp is 32 threads, and every thread of a block takes part in whatever waits for others. Arguments of kernels are
// 8 bytes each, pointers or whole numbers; what is fixed when a kernel is compiled comes as macros.
//
// Tests compile the same text for the CPU. What only a GPU understands (PTX) therefore stands here and in `tensor.cuh`,
// each time beside plain C++ that means the same.

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void
#define ALL_LANES 0xffffffffu

// Bytes shared by a block, as many as the launch says.
#ifndef POLYSILICON_HOST
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#define DYNAMIC_SHARED(type, name)                      \
    extern __shared__ __align__(128) u8 dynamic_shared_bytes[]; \
    type* const name = (type*)dynamic_shared_bytes
#endif

// ---- floats of 16 bits

struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

#ifdef POLYSILICON_HOST
DEVICE float float_of_half(u16 bits) {
    return host_float_of_half(bits);
}
DEVICE u16 half_of_float(float x) {
    return host_half_of_float(x);
}
#else
DEVICE float float_of_half(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
DEVICE u16 half_of_float(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif

DEVICE float float_of_bfloat(u32 bits) {
    return __uint_as_float(bits << 16);
}

// To nearest, ties to even; what is no number stays none.
#ifdef POLYSILICON_HOST
DEVICE u16 bfloat_of_float(float x) {
    const u32 bits = __float_as_uint(x);
    const u32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (u16)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}
#else
DEVICE u16 bfloat_of_float(float x) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif

DEVICE float to_f32(float x) { return x; }
DEVICE float to_f32(f16 x) { return float_of_half(x.bits); }
DEVICE float to_f32(bf16 x) { return float_of_bfloat(x.bits); }
DEVICE float to_f32(int x) { return (float)x; }
DEVICE float to_f32(u32 x) { return (float)x; }
DEVICE float to_f32(u8 x) { return (float)x; }

template <class T>
DEVICE T from_f32(float x) {
    return (T)x;
}
template <>
DEVICE f16 from_f32<f16>(float x) {
    f16 h;
    h.bits = half_of_float(x);
    return h;
}
template <>
DEVICE bf16 from_f32<bf16>(float x) {
    bf16 b;
    b.bits = bfloat_of_float(x);
    return b;
}

// ---- warps and blocks

DEVICE float warp_sum(float x) {
    for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
    return x;
}

DEVICE float warp_max(float x) {
    for (int away = 16; away > 0; away /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, away));
    return x;
}

// Of all threads of a block of whole warps; every thread gets it.
DEVICE float block_sum(float x) {
    __shared__ float parts[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? parts[lane] : 0.0f);
    __syncthreads();
    return x;
}

DEVICE float block_max(float x) {
    __shared__ float parts[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = warp_max(x);
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    x = warp_max(lane < warps ? parts[lane] : -INFINITY);
    __syncthreads();
    return x;
}

DEVICE u64 block_max(u64 x) {
    __shared__ u64 parts[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (int away = 16; away > 0; away /= 2) {
        const u64 other = __shfl_xor_sync(ALL_LANES, x, away);
        x = other > x ? other : x;
    }
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    x = lane < warps ? parts[lane] : 0;
    for (int away = 16; away > 0; away /= 2) {
        const u64 other = __shfl_xor_sync(ALL_LANES, x, away);
        x = other > x ? other : x;
    }
    __syncthreads();
    return x;
}

DEVICE u64 block_sum(u64 x) {
    __shared__ u64 parts[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    x = lane < warps ? parts[lane] : 0;
    for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
    __syncthreads();
    return x;
}

// ---- what several kernels compute

// A token's id: known to the host, or minus one minus the row of the step before that chose it.
DEVICE int token_id(const int* ids, i64 at, const int* previous) {
    const int id = ids[at];
    return id >= 0 || previous == nullptr ? id : previous[-1 - id];
}

// What a softmax has summed so far: its largest score, and under that the sum of weights and a weighted sum of values.
struct Running {
    float top, mass, sum;
};

// Adds what others have summed. The order in which it is asked to decides the bits, and nothing else does.
DEVICE void take(Running& all, float top, float mass, float sum) {
    if (top == -INFINITY) return;
    const float largest = fmaxf(all.top, top);
    const float old = expf(all.top - largest), more = expf(top - largest);
    all.mass = fmaf(all.mass, old, mass * more);
    all.sum = fmaf(all.sum, old, sum * more);
    all.top = largest;
}

DEVICE float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

// Towards negative infinity.
DEVICE int floor_div(int a, int b) {
    const int quotient = a / b;
    return (a % b != 0 && (a % b < 0) != (b < 0)) ? quotient - 1 : quotient;
}

// A number whose order as a whole number is that of floats, zeros of either sign being equal; what is no number comes
// where `total_cmp` of Rust puts it.
DEVICE u32 ordered(float x) {
    const u32 bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

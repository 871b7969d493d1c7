// CUDA C++ on a CPU: what a kernel's text needs so that g++ compiles it, and the blocks and threads that run it.
//
// Threads of a block are fibers of one thread of the system. They run one after another; what waits for others (barriers,
// shuffles, votes, matrix products of a warp) gives up the processor until the others have come. A block whose threads wait
// for ever is reported. Bytes that cp.async moves arrive when they are waited for and not before, and shared bytes begin
// as noise, so that a kernel which forgets to wait computes nonsense here too.

#define POLYSILICON_HOST 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")

extern "C" {
float expf(float); float exp2f(float); float logf(float); float sqrtf(float); float sinf(float); float cosf(float);
float tanhf(float); float erff(float); float fabsf(float); float fmaxf(float, float); float fminf(float, float);
float floorf(float); float fmaf(float, float, float);
void* memcpy(void*, const void*, unsigned long);
void* memset(void*, int, unsigned long);
}

inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }

template <class To, class From>
inline To host_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "bits are as many as they are");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline float __uint_as_float(unsigned x) { return host_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return host_bits<unsigned>(x); }
inline long long __double_as_longlong(double x) { return host_bits<long long>(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }

struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) float4 { float x, y, z, w; };
struct __attribute__((aligned(8))) float2 { float x, y; };
inline float2 make_float2(float x, float y) { return float2{x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }

// From f16 and back, to nearest, ties to even.
inline float host_float_of_half(unsigned short h) {
    const unsigned sign = (unsigned)(h & 0x8000) << 16, exponent = h >> 10 & 31, rest = h & 0x3ff;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | rest << 13);
    if (exponent > 0) return __uint_as_float(sign | (exponent + 112) << 23 | rest << 13);
    const float small = (float)rest * 0x1p-24f;
    return sign ? -small : small;
}
inline unsigned short host_half_of_float(float x) {
    const unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x477ff000) return sign | 0x7c00;
    if (size < 0x38800000) {
        // Subnormal: adding one half puts the bits in place and rounds them.
        return sign | (unsigned short)(__float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u);
    }
    return sign | (unsigned short)((size + 0xfffu + (size >> 13 & 1) - 0x38000000u) >> 13);
}

// ---- threads

namespace host {

struct Three { unsigned x, y, z; };

struct Barrier {
    int expected, arrived;
    unsigned long generation;
};

struct Pending { unsigned char* to; const unsigned char* from; int bytes; };

struct Fiber {
    void* stack;
    Three thread;
    Barrier* waits;
    unsigned long generation;
    int warp, lane;
    unsigned parity;
    bool done;
    // Copies under way, in groups that were closed; -1 marks the end of a group.
    Pending copies[96];
    int copied;
};

struct Warp {
    Barrier barrier;
    unsigned long long slots[2][32][4];
};

const int THREADS_MAX = 1024;
static Fiber fibers[THREADS_MAX];
static Warp warps[THREADS_MAX / 32];
static Barrier barrier;
static Fiber* self;
static Three block, dims, grid;
static void* scheduler;
static unsigned char* dynamic_shared;
static const void* entry_arguments;

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void host_switch(void** from, void* to);
asm(R"(
.text
.hidden host_switch
.globl host_switch
.type host_switch, @function
host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void* prepare(unsigned char* stack, long bytes, void (*start)()) {
    void** top = (void**)((unsigned long)(stack + bytes) & ~15ul);
    *--top = 0;
    *--top = (void*)start;
    for (int i = 0; i < 6; i++) *--top = 0;
    return top;
}
#elif defined(__aarch64__)
extern "C" __attribute__((visibility("hidden"))) void host_switch(void** from, void* to);
asm(R"(
.text
.hidden host_switch
.globl host_switch
.type host_switch, %function
host_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
inline void* prepare(unsigned char* stack, long bytes, void (*start)()) {
    void** top = (void**)((unsigned long)(stack + bytes) & ~15ul);
    top -= 20;
    for (int i = 0; i < 20; i++) top[i] = 0;
    top[11] = (void*)start;
    return top;
}
#else
#error "kernels run on the CPU of x86-64 and of AArch64"
#endif

// What a GPU would stop at: the compiler checks plain reads and writes, this what only a GPU's own instructions move.
inline void must_be_aligned(const void* at, unsigned long bytes) {
    if ((unsigned long)at % bytes != 0) __builtin_trap();
}

inline void give_up() { host_switch(&self->stack, scheduler); }

inline void arrive(Barrier* b) {
    if (++b->arrived == b->expected) {
        b->arrived = 0;
        b->generation++;
        return;
    }
    self->waits = b;
    self->generation = b->generation;
    give_up();
    self->waits = 0;
}

inline void leave(Barrier* b) {
    b->expected--;
    if (b->expected > 0 && b->arrived == b->expected) {
        b->arrived = 0;
        b->generation++;
    }
}

// Every lane of a warp hands in some bytes and may look at all of them, until it hands in the next.
template <class T>
inline const unsigned long long (*exchange(const T& mine))[4] {
    static_assert(sizeof(T) <= 32, "a slot holds that much");
    Warp* warp = &warps[self->warp];
    const unsigned parity = self->parity ^= 1;
    memcpy(warp->slots[parity][self->lane], &mine, sizeof mine);
    arrive(&warp->barrier);
    return warp->slots[parity];
}
template <class T>
inline T slot(const unsigned long long (*slots)[4], int lane) {
    T value;
    memcpy(&value, slots[lane & 31], sizeof value);
    return value;
}

}  // namespace host

#define threadIdx (::host::self->thread)
#define blockIdx (::host::block)
#define blockDim (::host::dims)
#define gridDim (::host::grid)
#define DYNAMIC_SHARED(type, name) type* const name = (type*)::host::dynamic_shared

inline void __syncthreads() { host::arrive(&host::barrier); }
inline void __syncwarp(unsigned = ~0u) { host::arrive(&host::warps[host::self->warp].barrier); }
inline void __threadfence() {}
inline void __trap() { __builtin_trap(); }

template <class T>
inline T __shfl_sync(unsigned, T x, int lane) { return host::slot<T>(host::exchange(x), lane); }
template <class T>
inline T __shfl_xor_sync(unsigned, T x, int mask) { return host::slot<T>(host::exchange(x), host::self->lane ^ mask); }
template <class T>
inline T __shfl_down_sync(unsigned, T x, int away) {
    const int from = host::self->lane + away;
    const T other = host::slot<T>(host::exchange(x), from);
    return from < 32 ? other : x;
}
template <class T>
inline T __shfl_up_sync(unsigned, T x, int away) {
    const int from = host::self->lane - away;
    const T other = host::slot<T>(host::exchange(x), from);
    return from >= 0 ? other : x;
}
inline unsigned __ballot_sync(unsigned, int vote) {
    const auto slots = host::exchange(vote != 0);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++) votes |= (unsigned)host::slot<bool>(slots, lane) << lane;
    return votes;
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }

template <class T>
inline T atomicAdd(T* at, T x) {
    const T old = *at;
    *at = old + x;
    return old;
}
inline unsigned atomicInc(unsigned* at, unsigned most) {
    const unsigned old = *at;
    *at = old >= most ? 0 : old + 1;
    return old;
}

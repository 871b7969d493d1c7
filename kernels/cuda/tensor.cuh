// What tensor cores do, with the words of PTX on a GPU and the same in plain C++ elsewhere.

// Two bf16 in a word, times two, plus two: each rounded once.
#ifdef POLYSILICON_HOST
DEVICE u32 fma_bf16x2(u32 a, u32 b, u32 c) {
    u32 both = 0;
    for (int half = 0; half < 32; half += 16) {
        const float x = float_of_bfloat(a >> half & 0xffffu), y = float_of_bfloat(b >> half & 0xffffu);
        const float z = float_of_bfloat(c >> half & 0xffffu);
        both |= (u32)bfloat_of_float(x * y + z) << half;
    }
    return both;
}
#else
DEVICE u32 fma_bf16x2(u32 a, u32 b, u32 c) {
    u32 d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
#endif

// Two floats rounded to bf16, in a word.
#ifdef POLYSILICON_HOST
DEVICE u32 bf16x2_of(float low, float high) {
    return bfloat_of_float(low) | (u32)bfloat_of_float(high) << 16;
}
#else
DEVICE u32 bf16x2_of(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
#endif

// d += a b of a warp: a is 16 x 16, b 16 x 8, of bf16; sums are of f32. With g = lane / 4 and t = lane % 4, a lane holds
// a[g, 2t..], a[g + 8, 2t..], a[g, 2t + 8..], a[g + 8, 2t + 8..], two neighbours each, b[2t.., g], b[2t + 8.., g], and of
// the result d[g, 2t], d[g, 2t + 1], d[g + 8, 2t], d[g + 8, 2t + 1].
#ifdef POLYSILICON_HOST
struct Fragments {
    u32 a[4], b[2];
};
DEVICE void mma(float* d, const u32* a, u32 b0, u32 b1) {
    Fragments mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const unsigned long long(*slots)[4] = host::exchange(mine);
    const int g = host::self->lane / 4, t = host::self->lane % 4;
    for (int i = 0; i < 4; i++) {
        const int row = g + 8 * (i / 2), column = 2 * t + i % 2;
        float sum = d[i];
        for (int k = 0; k < 16; k++) {
            const Fragments* left = (const Fragments*)slots[row % 8 * 4 + k % 8 / 2];
            const Fragments* right = (const Fragments*)slots[column * 4 + k % 8 / 2];
            const u32 x = left->a[row / 8 + 2 * (k / 8)] >> (k % 2 * 16) & 0xffffu;
            const u32 y = right->b[k / 8] >> (k % 2 * 16) & 0xffffu;
            sum += float_of_bfloat(x) * float_of_bfloat(y);
        }
        d[i] = sum;
    }
}
#else
DEVICE void mma(float* d, const u32* a, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

// 16 bytes that are read once: past the first cache.
#ifdef POLYSILICON_HOST
DEVICE uint4 stream16(const u8* at) { return *(const uint4*)at; }
DEVICE uint2 stream8(const u8* at) { return *(const uint2*)at; }
DEVICE u32 stream4(const u8* at) { return *(const u32*)at; }
#else
DEVICE uint4 stream16(const u8* at) {
    uint4 x;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(at));
    return x;
}
DEVICE uint2 stream8(const u8* at) {
    uint2 x;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(at));
    return x;
}
DEVICE u32 stream4(const u8* at) {
    u32 x;
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(x) : "l"(at));
    return x;
}
#endif

// Copies of 16 bytes to shared memory that go on while a thread does something else; a group of them is waited for together.
#ifdef POLYSILICON_HOST
DEVICE void copy16_async(void* to, const void* from) {
    host::must_be_aligned(to, 16), host::must_be_aligned(from, 16);
    host::Pending& copy = host::self->copies[host::self->copied++];
    copy.to = (unsigned char*)to, copy.from = (const unsigned char*)from, copy.bytes = 16;
}
DEVICE void close_copies() {
    host::self->copies[host::self->copied++].bytes = -1;
}
// Waits until no more than so many groups are on their way.
template <int N>
DEVICE void await_copies() {
    host::Fiber* const me = host::self;
    int groups = 0, done = 0;
    for (int i = 0; i < me->copied; i++) groups += me->copies[i].bytes < 0;
    for (; groups > N; done++) {
        const host::Pending& copy = me->copies[done];
        if (copy.bytes < 0) groups--;
        else memcpy(copy.to, copy.from, copy.bytes);
    }
    for (int i = done; i < me->copied; i++) me->copies[i - done] = me->copies[i];
    me->copied -= done;
}
#else
DEVICE void copy16_async(void* to, const void* from) {
    const u32 at = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
}
DEVICE void close_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N>
DEVICE void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif

// Four matrices of 8 x 8 bf16 from shared memory, turned: lane 8 i + j names row j of matrix i, and with g and t as above a
// lane gets of each the elements [2t, g] and [2t + 1, g].
#ifdef POLYSILICON_HOST
DEVICE void load_turned(u32* x, const u16* row) {
    host::must_be_aligned(row, 16);
    const unsigned long long(*slots)[4] = host::exchange(row);
    const int g = host::self->lane / 4, t = host::self->lane % 4;
    for (int i = 0; i < 4; i++) {
        const u16* low = host::slot<const u16*>(slots, 8 * i + 2 * t);
        const u16* high = host::slot<const u16*>(slots, 8 * i + 2 * t + 1);
        x[i] = low[g] | (u32)high[g] << 16;
    }
}
#else
DEVICE void load_turned(u32* x, const u16* row) {
    const u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}
#endif

// Of launches that may begin before the one before has ended: lets the next one begin, and waits for what the one before
// wrote. Only from Hopper on; elsewhere launches begin when the one before has ended.
#if !defined(POLYSILICON_HOST) && __CUDA_ARCH__ >= 900
DEVICE void let_next_begin() {
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
DEVICE void await_previous() {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}
#else
DEVICE void let_next_begin() {}
DEVICE void await_previous() {}
#endif

// Asks for a line of 128 bytes to be brought to the second cache.
#ifdef POLYSILICON_HOST
DEVICE void ask_for_line(const u8*) {}
#else
DEVICE void ask_for_line(const u8* at) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}
#endif

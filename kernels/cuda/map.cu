// out[i] = EXPRESSION(a, b, c), element by element under one shape of up to six axes, each argument walked with strides of
// its own: unary, binary and compared, selected, cast, counted, repeated, turned, cut, joined.
//
// Split: a thread an element, in strides of the grid. Bytes: every element read once and written once. It serves what has
// no kernel of its own, and stands on no path that decides a model's speed.
//
// Macros: OUT, A, B, C (types), EXPRESSION (of `a`, `b`, `c` and the index `axis[0..6]`).
// Table: six axes, six strides of each of out, a, b, c, and the first element of each.

KERNEL map(OUT* out, const A* pa, const B* pb, const C* pc, const int* table, i64 count) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        int axis[6];
        u32 rest = (u32)i;
        i64 at[4];
        for (int k = 0; k < 4; k++) at[k] = table[30 + k];
        for (int d = 5; d >= 0; d--) {
            const u32 length = (u32)table[d];
            axis[d] = (int)(rest % length);
            rest /= length;
            for (int k = 0; k < 4; k++) at[k] += (i64)axis[d] * table[6 + 6 * k + d];
        }
        const A a = pa[at[1]];
        const B b = pb[at[2]];
        const C c = pc[at[3]];
        (void)a, (void)b, (void)c;
        out[at[0]] = (OUT)(EXPRESSION);
    }
}

// out[n, i, j] = sum of a[n, i, :] * b[n, :, j], or b[n, j, :] where TRANSPOSED; b is one matrix where it lacks the outer
// axes.
//
// Split: a warp an element of the result, which sums over lanes. It is the meaning of products that have no kernel, and
// stands on no path that decides a model's speed.
//
// Macros: M, N, O (a: [M, N], out: [M, O]), TRANSPOSED, SHARED (0 or 1: one b for all).

KERNEL matmul(float* out, const float* a, const float* b, i64 count) {
    const int lane = threadIdx.x % 32;
    const i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 at = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32; at < count; at += warps) {
        const i64 n = at / ((i64)M * O), i = at / O % M, j = at % O;
        const float* left = a + (n * M + i) * N;
        const float* right = b + (SHARED ? 0 : n * (i64)N * O) + (TRANSPOSED ? j * (i64)N : j);
        float sum = 0.0f;
        for (int k = lane; k < N; k += 32) sum += left[k] * right[(i64)k * (TRANSPOSED ? 1 : O)];
        sum = warp_sum(sum);
        if (lane == 0) out[at] = sum;
    }
}

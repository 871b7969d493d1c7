// order = the choices put together by the expert that was chosen; starts[e] = where those of expert e begin.
//
// Split: one block. Bytes: four a choice read twice and written once, from the cache; it takes as long as a launch.
//
// Macros: EXPERTS (at most 1024).

KERNEL group(int* order, int* starts, const int* chosen, i64 pairs) {
    in_turn();
    __shared__ int counts[EXPERTS + 1];
    for (int e = threadIdx.x; e <= EXPERTS; e += blockDim.x) counts[e] = 0;
    __syncthreads();
    for (i64 i = threadIdx.x; i < pairs; i += blockDim.x) atomicAdd(&counts[chosen[i] + 1], 1);
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int e = 0; e < EXPERTS; e++) counts[e + 1] += counts[e];
    }
    __syncthreads();
    for (int e = threadIdx.x; e <= EXPERTS; e += blockDim.x) starts[e] = counts[e];
    __syncthreads();
    // Which of its expert's places a choice gets does not matter: rows are summed by themselves.
    for (i64 i = threadIdx.x; i < pairs; i += blockDim.x) order[atomicAdd(&counts[chosen[i]], 1)] = (int)i;
}

// out[b, p] = the page table[b, p] of a state, as f32.
//
// Split: a thread 32 values. Bytes: pages read once, four bytes a value written.
//
// Macros: FORMAT (of blocks.cuh), PAGE (values of a page).
#include "blocks.cuh"

KERNEL state_read(float* out, const u8* state, const int* table, i64 pages) {
    const i64 groups = (PAGE + 31) / 32;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < pages * groups; i += (i64)gridDim.x * blockDim.x) {
        const i64 page = i / groups, g = i % groups;
        const int left = PAGE - g * 32 < 32 ? (int)(PAGE - g * 32) : 32;
        float values[32];
        FORMAT::decode(state + table[page] * (i64)FORMAT::bytes(PAGE), g, left, values);
        for (int k = 0; k < left; k++) out[page * PAGE + g * 32 + k] = values[k];
    }
}

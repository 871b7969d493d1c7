// out[i] = table[ids[i]]: whole rows, as bytes, whatever they hold.
//
// Split: a block a row. Bytes: each row read once and written once; at the bandwidth of copies.
//
// Macros: UNIT (the type in which rows are moved), UNITS (of a row).

KERNEL gather(UNIT* out, const UNIT* table, const int* ids, const int* previous, i64 rows) {
    in_turn();
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const UNIT* from = table + (i64)token_id(ids, row, previous) * UNITS;
        for (int i = threadIdx.x; i < UNITS; i += blockDim.x) out[row * UNITS + i] = from[i];
    }
}

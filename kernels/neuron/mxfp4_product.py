"""Rows of activations, each by the matrix of an expert of its own in MXFP4, for NKI 0.6. Never compiled, never run.

    out[p, o] = sum over n of x[p, n] * e2m1(codes[experts[p], o, n]) * scales[experts[p], o, n / 32]

Work is split by pair and by 128 rows of the matrix, which lie across partitions; the sum runs along a partition. With one
row of activations the tensor engine has nothing to share, so codes are taken apart and multiplied where they arrive.

Bytes: every code of the experts that were chosen once, half a byte each, and two bytes of scale for 32 of them: 4.5 bits
a weight. At 2944 by 2880 that is 4.8 MB a pair, 6.6 us of a Trainium2 core's bandwidth; about a dozen element-wise
instructions for each code make it slower than that.

It is written for: whole tiles of 128 rows; rows of whole blocks of 32, up to 4096 long. `twins.py` says the same in
numpy, tile by tile.
"""

import nki
import nki.isa as nisa
import nki.language as nl

TILE = 128
MOST_WIDTH = 4096
BLOCK = 32


@nki.jit
def mxfp4_product(x, codes, scales, experts):
    """x: f32[P, N]; codes: u8[X, O, N/32, 16]; scales: bf16[X, O, N/32]; experts: u32[P, 1]; gives f32[P, O]."""
    pairs, width = x.shape
    _, rows, blocks, half = codes.shape
    assert rows % TILE == 0 and width == blocks * BLOCK and 2 * half == BLOCK and width <= MOST_WIDTH

    out = nl.ndarray((pairs, rows, 1), dtype=nl.float32, buffer=nl.shared_hbm)
    for p in nl.static_range(pairs):
        expert = nl.ndarray((1, 1), dtype=nl.uint32, buffer=nl.sbuf)
        nisa.dma_copy(dst=expert, src=experts[p].reshape((1, 1)))
        # The same activations in every partition.
        given = nl.ndarray((TILE, blocks, BLOCK), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=given, src=x[p].reshape((1, blocks, BLOCK)).broadcast(0, TILE))
        for tile in nl.static_range(rows // TILE):
            packed = nl.ndarray((TILE, blocks, half), dtype=nl.uint8, buffer=nl.sbuf)
            row = blocks * half
            nisa.dma_copy(
                dst=packed,
                src=codes.ap(
                    pattern=[[row, TILE], [half, blocks], [1, half]],
                    offset=tile * TILE * row,
                    scalar_offset=expert,
                    indirect_dim=0,
                ),
            )
            scale = nl.ndarray((TILE, blocks), dtype=nl.bfloat16, buffer=nl.sbuf)
            nisa.dma_copy(
                dst=scale,
                src=scales.ap(
                    pattern=[[blocks, TILE], [1, blocks]],
                    offset=tile * TILE * blocks,
                    scalar_offset=expert,
                    indirect_dim=0,
                ),
            )
            values = _values(packed, blocks)
            nisa.tensor_tensor(dst=values, data1=values, data2=given, op=nl.multiply)
            # The sum of each block, then its scale, then the sum of a row.
            sums = nl.ndarray((TILE, blocks), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=sums, op=nl.add, data=values, axis=2)
            nisa.tensor_tensor(dst=sums, data1=sums, data2=scale, op=nl.multiply)
            total = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=total, op=nl.add, data=sums, axis=1, keepdims=True)
            nisa.dma_copy(dst=out[p, tile * TILE : (tile + 1) * TILE], src=total)
    return out


def _values(packed, blocks):
    """e2m1 of codes, two to a byte, the second half of a block in the upper bits: f32[128, blocks, 32].

    A code's size m is m / 2 up to 4, m - 2 from there to 6, and 2 (m - 4) from there: the largest of three lines.
    """
    half = BLOCK // 2
    codes = nl.ndarray((TILE, blocks, BLOCK), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=codes[:, :, 0:half], data=packed, op0=nl.bitwise_and, operand0=15)
    nisa.tensor_scalar(dst=codes[:, :, half:BLOCK], data=packed, op0=nl.right_shift, operand0=4)

    shape = (TILE, blocks, BLOCK)
    # 1 for a code without a sign and -1 for one with it; then the code without it.
    sign = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=sign, data=codes, op0=nl.greater_equal, operand0=8.0, op1=nl.multiply, operand1=-8.0)
    nisa.tensor_tensor(dst=codes, data1=codes, data2=sign, op=nl.add)
    nisa.tensor_scalar(dst=sign, data=sign, op0=nl.multiply, operand0=0.25, op1=nl.add, operand1=1.0)

    size = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    line = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=size, data=codes, op0=nl.multiply, operand0=0.5)
    nisa.tensor_scalar(dst=line, data=codes, op0=nl.subtract, operand0=2.0)
    nisa.tensor_tensor(dst=size, data1=size, data2=line, op=nl.maximum)
    nisa.tensor_scalar(dst=line, data=codes, op0=nl.subtract, operand0=4.0, op1=nl.multiply, operand1=2.0)
    nisa.tensor_tensor(dst=size, data1=size, data2=line, op=nl.maximum)
    nisa.tensor_tensor(dst=size, data1=size, data2=sign, op=nl.multiply)
    return size

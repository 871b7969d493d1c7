"""Attention of one token of each sequence to pages of keys and values, for NKI 0.6. Never compiled, never run.

    out[b, h] = softmax(scale * q[b, h] . keys[rows[b, j], h // G] for j < lengths[b]) @ values[rows[b, j], h // G]

Work is split by sequence and by head of keys: the G query heads of one such head lie across partitions, so that a tile of
128 keys is read once for all of them. Keys come by gathering DMA, row by row, in the order of the table: no page is
copied. Scores stay in SBUF; the softmax is over whole rows, so that nothing is rescaled.

Bytes: every key and value up to the table's end once (what lies behind a sequence's length is read and not counted);
queries and results are small beside them. At 4096 positions of 8 heads of 128 in bf16 that is 16.8 MB a sequence, 23 us of
a Trainium2 core's bandwidth.

It is written for: bf16 keys, values and queries; heads up to 128 wide; up to 128 query heads for one of keys; positions
in whole tiles of 128, up to 8192; no window and no sinks. `twins.py` says the same in numpy, tile by tile.
"""

import nki
import nki.isa as nisa
import nki.language as nl

TILE = 128
MOST_WIDTH = 128
MOST_POSITIONS = 8192

# What a position that may not be seen adds to its score.
HIDDEN = -1.0e30


@nki.jit
def paged_attention(q, keys, values, rows, lengths, scale):
    """q: bf16[B, H, D]; keys, values: bf16[slots, K, D]; rows: u32[B, L]; lengths: f32[B, 1]; gives f32[B, H, D]."""
    seqs, heads, width = q.shape
    slots, kv_heads, _ = keys.shape
    _, positions = rows.shape
    group = heads // kv_heads
    tiles = positions // TILE
    assert width <= MOST_WIDTH and group <= MOST_WIDTH and heads == group * kv_heads
    assert positions % TILE == 0 and positions <= MOST_POSITIONS

    out = nl.ndarray((seqs, heads, width), dtype=nl.float32, buffer=nl.shared_hbm)
    # 0, 1, 2, ... in every partition: a score's position.
    places = nl.ndarray((group, positions), dtype=nl.float32, buffer=nl.sbuf)
    nisa.iota(dst=places, pattern=[[1, positions]], channel_multiplier=0)

    for b in nl.static_range(seqs):
        # The slot of each position, a tile of them across partitions.
        slot = nl.ndarray((TILE, tiles), dtype=nl.uint32, buffer=nl.sbuf)
        nisa.dma_copy(dst=slot, src=rows[b].reshape((tiles, TILE)).permute((1, 0)))
        length = nl.ndarray((group, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=length, src=lengths[b].reshape((1, 1)).broadcast(0, group))

        for k in nl.static_range(kv_heads):
            own = nl.ndarray((group, width), dtype=q.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=own, src=q[b, k * group : (k + 1) * group])
            turned_q = _turned(own, group, width)
            scores = _scores(turned_q, keys, slot, k, group, width, positions, scale)

            # Positions from the length on are hidden.
            hidden = nl.ndarray((group, positions), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(
                dst=hidden, data=places, op0=nl.greater_equal, operand0=length, op1=nl.multiply, operand1=HIDDEN
            )
            nisa.tensor_tensor(dst=scores, data1=scores, data2=hidden, op=nl.add)

            # exp(score - largest), and the sum beside it.
            minus_largest = nl.ndarray((group, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=minus_largest, op=nl.maximum, data=scores, axis=1, negate=True, keepdims=True)
            weights = nl.ndarray((group, positions), dtype=nl.bfloat16, buffer=nl.sbuf)
            total = nl.ndarray((group, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(
                dst=weights,
                op=nl.exp,
                data=scores,
                bias=minus_largest,
                reduce_op=nl.add,
                reduce_res=total,
                reduce_cmd=nisa.reduce_cmd.reset_reduce,
            )
            summed = _summed(weights, values, slot, k, group, width, tiles)
            share = nl.ndarray((group, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.reciprocal(dst=share, data=total)
            result = nl.ndarray((group, width), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=result, data=summed, op0=nl.multiply, operand0=share)
            nisa.dma_copy(dst=out[b, k * group : (k + 1) * group], src=result)
    return out


def _rows(table, slot, tile, k, width):
    """A tile of rows of one head, found by their slots: [128, D]."""
    _, kv_heads, _ = table.shape
    found = nl.ndarray((TILE, width), dtype=table.dtype, buffer=nl.sbuf)
    source = table.ap(
        pattern=[[kv_heads * width, TILE], [1, width]],
        offset=k * width,
        vector_offset=slot[:, tile : tile + 1],
        indirect_dim=0,
    )
    nisa.dma_copy(dst=found, src=source)
    return found


def _turned(tile, rows, columns):
    """A tile with its axes exchanged: [columns, rows]."""
    across = nl.ndarray((columns, rows), dtype=tile.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=across, data=tile)
    turned = nl.ndarray((columns, rows), dtype=tile.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=turned, src=across)
    return turned


def _scores(turned_q, keys, slot, k, group, width, positions, scale):
    """scale * q . key for every position: f32[G, L]."""
    scores = nl.ndarray((group, positions), dtype=nl.float32, buffer=nl.sbuf)
    for tile in nl.static_range(positions // TILE):
        turned_keys = _turned(_rows(keys, slot, tile, k, width), TILE, width)
        product = nl.ndarray((group, TILE), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=product, stationary=turned_q, moving=turned_keys)
        nisa.tensor_scalar(
            dst=scores[:, tile * TILE : (tile + 1) * TILE], data=product, op0=nl.multiply, operand0=scale
        )
    return scores


def _summed(weights, values, slot, k, group, width, tiles):
    """weights @ values over all tiles, summed in PSUM: f32[G, D]."""
    summed = nl.ndarray((group, width), dtype=nl.float32, buffer=nl.psum)
    for tile in nl.static_range(tiles):
        turned = _turned(weights[:, tile * TILE : (tile + 1) * TILE], group, TILE)
        found = _rows(values, slot, tile, k, width)
        nisa.nc_matmul(dst=summed, stationary=turned, moving=found, accumulate=(tile > 0))
    return summed

"""How the rows of a neighbour list are cut into chunks that fit the cache, and into blocks of chunks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.graph import connect_rows, row_arrays
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.typing import Array, PyTree

CHUNK_ELEMENTS = 8192  # neighbours in a chunk: 64 kB an array in double precision
CHUNKS_PER_BLOCK = 8
_ON_ACCELERATORS = 128  # times as many there: what counts is that few programs start, and each fills the device


def on_this_device(elements: int) -> int:
    """Numbers in a chunk on the device that computes, for so many on a CPU."""
    return elements if jax.default_backend() == "cpu" else elements * _ON_ACCELERATORS


def chunk_shape(rows: int, capacity: int, elements: int = CHUNK_ELEMENTS) -> tuple[int, int]:
    """Cut rows into chunks: (chunks, rows per chunk), covering `rows` with little to spare."""
    elements = on_this_device(elements)
    chunks = max(1, -(-rows * max(capacity, 1) // elements))
    return chunks, max(1, -(-rows // chunks))


def block_shape(
    rows: int, capacity: int, elements: int = CHUNK_ELEMENTS, max_blocks: int | None = None
) -> tuple[int, int, int]:
    """Cut rows into blocks of chunks: (blocks, chunks per block, rows per chunk)."""
    chunks, _ = chunk_shape(rows, capacity, elements)
    blocks = max(1, -(-chunks // CHUNKS_PER_BLOCK))
    if max_blocks is not None:
        blocks = min(blocks, max_blocks)
    per_block = -(-chunks // blocks)
    size = max(1, -(-rows // (blocks * per_block)))
    return blocks, per_block, size


def cut(neighbors: Neighbors, blocks: int, size: int) -> tuple[Array, ...]:
    """The rows of a list as (blocks, size, ...); the last block is filled with copies that are not real."""
    rows = list(row_arrays(neighbors))
    count = rows[0].shape[0]
    spare = blocks * size - count
    if spare:
        rows = [jnp.concatenate([a, jnp.broadcast_to(a[-1:], (spare, *a.shape[1:]))]) for a in rows]
        rows[-1] = rows[-1] & (jnp.arange(blocks * size) < count)
    return tuple(a.reshape(blocks, size, *a.shape[1:]) for a in rows)


def scan_chunks(
    function: Callable[[Any, Any], tuple[Any, Any]], start: PyTree, rows: PyTree, filled: Array | None = None
) -> tuple[Any, Any]:
    """Carry sums over chunks of rows, as `jax.lax.scan` does; over the chunks in use alone where `filled` is given.

    Args:
        function: (sums, rows of a chunk) -> (sums, what is left of the chunk).
        start: where the sums begin.
        rows: arrays (chunks, rows of a chunk, ...).
        filled: () int, rows in use, which come first: what is left of the other chunks is 0. Then the number of steps
            is known to the running program alone, and there is no derivative in reverse.

    Returns:
        (sums, what is left, stacked over chunks).
    """
    if filled is None:
        return jax.lax.scan(function, start, rows)
    chunks, size = jax.tree.leaves(rows)[0].shape[:2]

    def chunk(k):
        return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, k, keepdims=False), rows)

    def step(k, carry):
        sums, left = carry
        sums, of_chunk = function(sums, chunk(k))
        put = lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b.astype(a.dtype), k, 0)  # noqa: E731
        return sums, jax.tree.map(put, left, of_chunk)

    shapes = jax.eval_shape(function, start, jax.eval_shape(lambda: chunk(0)))[1]
    left = jax.tree.map(lambda a: jnp.zeros((chunks, *a.shape), a.dtype), shapes)
    used = jnp.minimum(chunks, (filled + size - 1) // size)
    return jax.lax.fori_loop(0, used, step, (start, left))


def map_rows(
    function: Callable[..., PyTree],
    potential: Any,
    structure: Structure,
    neighbors: Neighbors,
    max_blocks: int | None = None,
) -> PyTree:
    """Apply `function(graph of a block, per_chunk)` to blocks of rows, one after the other.

    `per_chunk(f, tree)` maps `f` over the chunks of a block, whose arrays have the rows in front.
    Returns the results stacked with the rows of all blocks in front.
    """
    blocks, chunks, size = block_shape(
        neighbors.others.shape[0], neighbors.capacity, potential.chunk_elements, max_blocks
    )

    def per_chunk(f, tree):
        if chunks == 1:
            return f(tree)
        split = jax.tree.map(lambda a: a.reshape(chunks, size, *a.shape[1:]), tree)
        return jax.tree.map(lambda a: a.reshape(chunks * size, *a.shape[2:]), jax.lax.map(f, split))

    def block(rows):
        return function(connect_rows(structure, neighbors, rows), per_chunk)

    rows = cut(neighbors, blocks, chunks * size)
    if blocks == 1:
        return block(jax.tree.map(lambda a: a[0], rows))
    stacked = jax.lax.map(jax.checkpoint(block), rows)
    return jax.tree.map(lambda a: a.reshape(blocks * a.shape[1], *a.shape[2:]), stacked)

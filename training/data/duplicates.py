"""Near-duplicates: faces whose 16x16 grey thumbnails correlate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

# Thumbnails in a block. Two blocks of float32 take 8 MB.
_BLOCK = 4096

Thumbnails = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def groups(
    count: int, block: Callable[[int, int], Thumbnails], threshold: float, joined: Iterable[tuple[int, int]] = ()
) -> Rows:
    """Group thumbnails that correlate above `threshold` or are joined, directly or through others.

    Args:
        count: number of thumbnails.
        block: function from start and stop to (stop - start, THUMBNAIL_SIDE**2) uint8 thumbnails.
        threshold: Pearson correlation, from 0 to 1.
        joined: pairs of rows that belong together whatever they look like.

    Returns:
        (count,) int64: the smallest row of each thumbnail's group.
    """
    parents = np.arange(count)
    for left, right in chain(joined, _pairs(count, block, threshold)):
        a, b = _root(parents, left), _root(parents, right)
        parents[max(a, b)] = min(a, b)
    for row in range(count):
        parents[row] = _root(parents, row)
    return parents


def _pairs(count: int, block: Callable[[int, int], Thumbnails], threshold: float) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _BLOCK):
        one = _standardized(block(start, min(start + _BLOCK, count)))
        for other_start in range(start, count, _BLOCK):
            other = _standardized(block(other_start, min(other_start + _BLOCK, count)))
            correlated = np.flatnonzero(one @ other.T > threshold)
            for left, right in zip(*np.divmod(correlated, len(other)), strict=True):
                if start + left < other_start + right:
                    yield int(start + left), int(other_start + right)


def _standardized(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """Scale rows to mean 0 and length 1, so that a product of two is their correlation. Constant rows become zero."""
    rows = thumbnails.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.maximum(lengths, 1e-6)
    return rows


def _root(parents: Rows, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row

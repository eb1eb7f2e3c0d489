"""Which faces are the same image: a 16x16 grey thumbnail each, compared with all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

# Thumbnails compared at once; two blocks of float32 take 8 MB whatever the number of faces.
_BLOCK = 4096

Thumbnails = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def groups(count: int, block: Callable[[int, int], Thumbnails], threshold: float) -> Rows:
    """Put thumbnails that correlate above `threshold`, directly or through others, into one group.

    Args:
        count: how many thumbnails there are.
        block: start and stop -> (stop - start, THUMBNAIL_SIDE**2) uint8.
        threshold: Pearson correlation, 0..1.

    Returns:
        (count,) int64: for each thumbnail the smallest row of its group.
    """
    parents = np.arange(count)
    for left, right in _pairs(count, block, threshold):
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
    """Rows of mean 0 and length 1, so that a product of two is their correlation; flat rows stay zero."""
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

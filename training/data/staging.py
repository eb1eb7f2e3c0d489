"""Temporary storage of `prepare` on disk, so that memory does not grow with the data."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from serving.images import THUMBNAIL_SIDE, Pixels
from training.data.duplicates import Thumbnails
from training.labels import MISSING, Labels

_SCHEMA = """
CREATE TABLE faces (
    row INTEGER PRIMARY KEY, path TEXT, labels TEXT, stamp TEXT, digest TEXT
);
CREATE TABLE rejected (path TEXT, reason TEXT);
CREATE TABLE images (number INTEGER PRIMARY KEY, digest TEXT UNIQUE, thumbnail BLOB, root INTEGER);
CREATE TABLE groups (root INTEGER PRIMARY KEY, name TEXT, split TEXT);
"""
_NAME_GROUPS = """
INSERT INTO groups (root, name) SELECT root, substr(digest, 1, 16) FROM (
    SELECT root, digest, ROW_NUMBER() OVER (PARTITION BY root ORDER BY stamp, digest) AS place
    FROM images JOIN faces USING (digest)
) WHERE place = 1;
UPDATE groups SET split = split_of(name);
"""
_MOVE_CONTRADICTIONS = """
CREATE TABLE contradicted AS SELECT digest, COUNT(*) AS files FROM faces
    GROUP BY digest HAVING COUNT(DISTINCT labels) > 1;
INSERT INTO rejected SELECT path,
    'contradicting twin: ' || files || ' byte-identical files (' || substr(digest, 1, 12) || ') have different labels'
    FROM faces JOIN contradicted USING (digest);
DELETE FROM faces WHERE digest IN (SELECT digest FROM contradicted);
"""


@dataclass(frozen=True)
class Face:
    """An accepted face, as in the index."""

    row: int
    """Index of its pixels in the staging file."""
    paths: tuple[str, ...]
    """Paths in the source, ascending: several where files are byte-identical and have the same labels."""
    labels: tuple[int, ...]
    """Ages and class indices, or MISSING, in the order of `training.labels.ROW`."""
    digest: str
    """SHA-256 of the file."""
    group: str
    """Name of its group of near-duplicates."""
    split: str
    """Name of its split."""

    @property
    def cells(self) -> list[str]:
        """Return its part of a row of the index. A missing label is an empty cell."""
        labels = [str(label) if label != MISSING else "" for label in self.labels]
        return [*labels, self.group, self.split, self.digest]

    @property
    def identity(self) -> list[int | str]:
        """Return what the fingerprint of the data holds of it.

        The highest age is left out where it equals the age, so exact ages keep the fingerprints of older versions.
        """
        *known, age_high = self.labels
        row: list[int | str] = [*known, self.group, self.split, self.digest]
        return row if age_high == known[0] else [*row, age_high]


class Staging:
    """Accepted faces and rejected files in a database, with the pixels in a flat file beside it."""

    def __init__(self, folder: Path, size: int) -> None:
        """Create both files. `size` is the side of the faces in pixels."""
        self.size = size
        self.paths = (folder / "staging.sqlite", folder / "staging.pixels")
        self.database = sqlite3.connect(self.paths[0])
        # An interrupted run starts again, so nothing needs to survive a crash.
        self.database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;")
        self.database.executescript(_SCHEMA)
        self.pixels = self.paths[1].open("w+b")
        self.accepted = 0

    def accept(self, path: str, labels: Labels, digest: str, pixels: Pixels, thumbnail: bytes) -> None:
        """Add a face with (size, size, 3) uint8 pixels."""
        self.database.execute(
            "INSERT INTO faces (row, path, labels, stamp, digest) VALUES (?, ?, ?, ?, ?)",
            (self.accepted, path, json.dumps(labels.row), labels.stamp, digest),
        )
        self.database.execute("INSERT OR IGNORE INTO images (digest, thumbnail) VALUES (?, ?)", (digest, thumbnail))
        self.pixels.write(pixels.data)
        self.accepted += 1

    def reject(self, path: str, reason: str) -> None:
        """Add a rejected file."""
        self.database.execute("INSERT INTO rejected VALUES (?, ?)", (path, reason))

    def reject_contradictions(self) -> None:
        """Reject all byte-identical files that have different labels.

        A missing label differs from a known one, and a range from an age inside it: nothing tells which is right.
        """
        self.database.executescript(_MOVE_CONTRADICTIONS)

    def images(self) -> int:
        """Return the number of different images."""
        return int(self.database.execute("SELECT COUNT(*) FROM images").fetchone()[0])

    def thumbnails(self, start: int, stop: int) -> Thumbnails:
        """Return (stop - start, THUMBNAIL_SIDE**2) uint8 thumbnails of the images `start` to `stop`."""
        rows = self.database.execute(
            "SELECT thumbnail FROM images WHERE number > ? AND number <= ? ORDER BY number", (start, stop)
        )
        return np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, THUMBNAIL_SIDE**2)

    def group(self, roots: Iterable[int], split_of: Callable[[str], str]) -> None:
        """Assign a group and a split to every image.

        Args:
            roots: the smallest row of each image's group, in order.
            split_of: function from a group's name to its split. The name comes from the member collected first.
        """
        self.database.executemany("UPDATE images SET root = ? WHERE number = ?", zip(roots, count(1), strict=False))
        self.database.create_function("split_of", 1, split_of, deterministic=True)
        self.database.executescript(_NAME_GROUPS)

    def faces(self, split: str | None = None) -> Iterator[Face]:
        """Yield the accepted faces of one split, or of all, ordered by digest. Copies are one face."""
        rows = self.database.execute(
            "SELECT MIN(row), json_group_array(path), labels, digest, name, split FROM faces"
            " JOIN images USING (digest) JOIN groups USING (root)"
            " WHERE ? IS NULL OR split = ? GROUP BY digest ORDER BY digest",
            (split, split),
        )
        return (
            Face(row, tuple(sorted(json.loads(paths))), tuple(json.loads(labels)), *rest)
            for row, paths, labels, *rest in rows
        )

    def rejected(self) -> Iterator[tuple[str, str]]:
        """Yield path and reason of each rejected file."""
        yield from self.database.execute("SELECT path, reason FROM rejected ORDER BY path")

    def load(self, rows: list[int]) -> Pixels:
        """Return (n, size, size, 3) uint8 pixels of some rows, from any thread. Flush `pixels` before."""
        faces = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for face, row in zip(faces, rows, strict=True):
            os.preadv(self.pixels.fileno(), [face.data], row * face.nbytes)
        return faces

    def remove(self) -> None:
        """Close and delete both files."""
        self.database.close()
        self.pixels.close()
        for path in self.paths:
            path.unlink()

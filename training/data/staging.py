"""What `prepare` knows of each file, in a database on disk, so that memory does not grow with the data."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from serving.images import THUMBNAIL_SIDE
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
_MOVE_WITHDRAWN = """
INSERT INTO rejected SELECT path, reason FROM faces JOIN withdrawn USING (path);
DELETE FROM faces WHERE path IN (SELECT path FROM withdrawn);
"""


@dataclass(frozen=True)
class Face:
    """An accepted face, as in the index."""

    row: int
    """Number of its file: the first one where several are byte-identical."""
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
    """Accepted faces and rejected files in a database."""

    def __init__(self, folder: Path) -> None:
        """Create it in a folder."""
        self._database_path = folder / "staging.sqlite"
        self.database = sqlite3.connect(self._database_path)
        # An interrupted run starts again, so nothing needs to survive a crash.
        self.database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;")
        self.database.executescript(_SCHEMA)

    def accept(self, row: int, path: str, labels: Labels, digest: str, thumbnail: bytes) -> None:
        """Add a face, with the number of its file."""
        self.database.execute(
            "INSERT INTO faces (row, path, labels, stamp, digest) VALUES (?, ?, ?, ?, ?)",
            (row, path, json.dumps(labels.row), labels.stamp, digest),
        )
        self.database.execute("INSERT OR IGNORE INTO images (digest, thumbnail) VALUES (?, ?)", (digest, thumbnail))

    def reject(self, path: str, reason: str) -> None:
        """Add a rejected file."""
        self.database.execute("INSERT INTO rejected VALUES (?, ?)", (path, reason))

    def withdraw(self, faces: Iterable[tuple[str, str]]) -> None:
        """Reject accepted faces, given by path and reason."""
        self.database.execute("CREATE TABLE withdrawn (path TEXT PRIMARY KEY, reason TEXT)")
        self.database.executemany("INSERT OR IGNORE INTO withdrawn VALUES (?, ?)", faces)
        self.database.executescript(_MOVE_WITHDRAWN)

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

    def remove(self) -> None:
        """Close and delete it."""
        self.database.close()
        self._database_path.unlink()

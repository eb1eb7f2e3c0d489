"""Rows of tables of labels beside the faces in the database of `Staging`, and the rule by which a row names a file."""

from __future__ import annotations

import json
import posixpath
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serving.text import encodable
from training.data.table_columns import ADIENCE_PREFIX
from training.labels import LabelError, Labels

# Adience's other form of the same face.
_ADIENCE_OTHER_PREFIX = "coarse_tilt_aligned_face."

_SCHEMA = """
CREATE TABLE label_rows (
    number INTEGER PRIMARY KEY, place TEXT, shown TEXT, file TEXT, base TEXT, labels TEXT, person TEXT, fault TEXT
);
CREATE TABLE label_matches (path TEXT PRIMARY KEY, file TEXT, whole INTEGER, person TEXT);
"""
# After the rows, because an index that grows with them is slower.
_INDEX = """
CREATE INDEX label_files ON label_rows (file);
CREATE INDEX label_bases ON label_rows (base);
"""
_UNUSED = """
SELECT shown, place FROM label_rows WHERE file NOT IN (SELECT file FROM label_matches) ORDER BY number
"""
# Files with other bytes than another file of the same row. Where one has the row's whole path, it is the row's file.
_DOUBTFUL = """
WITH matched AS (SELECT path, file, whole, digest FROM label_matches JOIN faces USING (path)),
owned AS (
    SELECT file, MIN(path) AS owner, MIN(digest) AS owned FROM matched WHERE whole
    GROUP BY file HAVING COUNT(DISTINCT digest) = 1
),
several AS (
    SELECT file, MIN(path) AS one, MAX(path) AS other FROM matched GROUP BY file HAVING COUNT(DISTINCT digest) > 1
)
SELECT path, file, one, other, COALESCE(owner, '') FROM matched JOIN several USING (file) LEFT JOIN owned USING (file)
WHERE owned IS NULL OR digest != owned
"""
_JOINED = """
SELECT MIN(image) OVER (PARTITION BY person), image FROM (
    SELECT DISTINCT images.number - 1 AS image, person
    FROM faces JOIN label_matches USING (path) JOIN images USING (digest) WHERE person != ''
)
"""


@dataclass(frozen=True)
class LabelRow:
    """A row of a table, understood."""

    place: str
    """Line and name of the table, for messages."""
    file: str
    """Path or name of the file, as the table has it and with the table's folder before it."""
    labels: Labels | None
    """Its labels, or None where there is a fault."""
    person: str
    """What keeps it in one split with others, or ""."""
    fault: str
    """Reason why the row labels no face, or ""."""


class NoRowError(LabelError):
    """No row names a file."""


class LabelRows:
    """Rows on disk, and which files they were found for."""

    def __init__(self, database: sqlite3.Connection, rows: Iterable[LabelRow]) -> None:
        """Store the rows in the database of a `Staging`, which removes it at the end."""
        self._database = database
        database.executescript(_SCHEMA)
        database.executemany(
            "INSERT INTO label_rows (place, shown, file, base, labels, person, fault) VALUES (?, ?, ?, ?, ?, ?, ?)",
            map(_stored, rows),
        )
        database.executescript(_INDEX)

    def find(self, path: str) -> Labels:
        """Return the labels of the file at `path` in the source, and remember that its row has a file.

        A row and a file belong together where one path is the end of the other. A row may leave the suffix out.

        Raises:
            NoRowError: no row names the file.
            LabelError: several rows do that differ, or its row labels no face.
        """
        key = _key(path)
        # Tables of numbered faces often leave the suffix out.
        file = self._whole_or_end(key) or self._whole_or_end(posixpath.splitext(key)[0]) or self._longer(key)
        rows = self._database.execute(
            "SELECT labels, person, fault, place, MIN(number) FROM label_rows WHERE file = ?"
            " GROUP BY labels, person, fault ORDER BY MIN(number)",
            (file,),
        ).fetchall()
        person = rows[0][1]
        self._database.execute(
            "INSERT OR REPLACE INTO label_matches VALUES (?, ?, ?, ?)", (encodable(path), file, file == key, person)
        )
        if len(rows) > 1:
            places = " and ".join(place for *_, place, _ in rows[:3])
            raise LabelError(f"contradicting rows: {places} name this file and differ")
        found, _, fault, *_ = rows[0]
        if fault:
            raise LabelError(fault)
        age, age_high, choices = json.loads(found)
        return Labels(age, age_high, tuple(choices), stamp=posixpath.basename(key))

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._database.execute("SELECT COUNT(*) FROM label_rows").fetchone()[0])

    def usable(self) -> int:
        """Return the number of rows without a fault."""
        return int(self._database.execute("SELECT COUNT(*) FROM label_rows WHERE fault = ''").fetchone()[0])

    def first_fault(self) -> str:
        """Return the fault of the first row that has one, or ""."""
        row = self._database.execute("SELECT fault FROM label_rows WHERE fault != '' ORDER BY number").fetchone()
        return str(row[0]) if row else ""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield file and place of each row whose file was not found."""
        yield from self._database.execute(_UNUSED)

    def doubtful(self) -> Iterator[tuple[str, str]]:
        """Yield path and reason of each accepted face that shares its row with another file."""
        for path, file, one, other, owner in self._database.execute(_DOUBTFUL):
            if owner:
                yield path, f"file without row: the row of {file} belongs to {owner}"
            else:
                several = f"row with several files: {file} names {one} and {other}"
                yield path, f"{several}; give longer paths in the table, or a folder with one of them"

    def joined(self) -> Iterator[tuple[int, int]]:
        """Yield pairs of images, from 0 in the order of `Staging.thumbnails`, that belong into one split."""
        yield from self._database.execute(_JOINED)

    def _whole_or_end(self, key: str) -> str:
        """Return the longest end of a path that is a row's file, or ""."""
        parts = key.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if self._database.execute("SELECT 1 FROM label_rows WHERE file = ? LIMIT 1", (end,)).fetchone():
                return end
        return ""

    def _longer(self, key: str) -> str:
        """Return the only row's file that ends with a path.

        Raises:
            NoRowError: there is none.
            LabelError: there are several.
        """
        base = posixpath.basename(key)
        found = self._database.execute(
            "SELECT DISTINCT file FROM label_rows WHERE base = ? AND substr(file, -length(?)) = ? LIMIT 2",
            (base, f"/{key}", f"/{key}"),
        ).fetchall()
        if len(found) == 1:
            return str(found[0][0])
        if found:
            raise LabelError(
                f"file of several rows: {found[0][0]} and {found[1][0]}; give the folder above as --data, so that the "
                "paths tell which"
            )
        near = self._database.execute("SELECT file FROM label_rows WHERE base = ? LIMIT 1", (base,)).fetchone()
        hint = f": {near[0]} is in another folder" if near else ": no row names it"
        raise NoRowError(f"file without row{hint}")


def _stored(row: LabelRow) -> tuple[str, ...]:
    key = _key(row.file)
    labels = row.labels and json.dumps([row.labels.age, row.labels.age_high, row.labels.choices])
    return row.place, encodable(row.file), key, posixpath.basename(key), labels or "", row.person, row.fault


def _key(path: str) -> str:
    """Return a path for comparison.

    Backslashes, the case of the suffix, the form of accents, and Adience's two forms of a face make no difference.
    """
    plain = unicodedata.normalize("NFC", encodable(path.replace("\\", "/")))
    folder, base = posixpath.split(posixpath.normpath(plain).lstrip("/") if plain else "")
    stem, suffix = posixpath.splitext(base)
    if stem.startswith(_ADIENCE_OTHER_PREFIX):
        stem = ADIENCE_PREFIX + stem.removeprefix(_ADIENCE_OTHER_PREFIX)
    return posixpath.join(folder, stem + suffix.lower())

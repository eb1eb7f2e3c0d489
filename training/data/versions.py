"""Two versions of the prepared data side by side in a temporary database, so that memory stays flat."""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from serving.heads import AGE
from training.data import shards
from training.data.shards import SPLITS
from training.errors import StepError
from training.labels import AGE_HIGH, COLUMNS, LABELS, MAX_AGE, MISSING, ROW

OLD, NEW = "old", "new"
# Kinds of changes.
ADDED, REMOVED, RELABELLED, MOVED = "added", "removed", "relabelled", "moved"
_INDEX = "index.csv"
_LARGEST = {AGE: MAX_AGE, AGE_HIGH: MAX_AGE, **{name: len(classes) - 1 for name, classes in LABELS.items()}}
_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;
CREATE TABLE files (version TEXT, digest TEXT, split TEXT, labels TEXT, path TEXT);
CREATE TABLE faces (version TEXT, digest TEXT, split TEXT, labels TEXT, PRIMARY KEY (version, digest)) WITHOUT ROWID;
CREATE TABLE paths (version TEXT, digest TEXT, path TEXT, PRIMARY KEY (version, digest, path)) WITHOUT ROWID;
CREATE VIEW pairs AS SELECT digest, old.split AS old_split, new.split AS new_split, old.labels AS old_labels,
    new.labels AS new_labels FROM faces AS old JOIN faces AS new USING (digest)
    WHERE old.version = 'old' AND new.version = 'new';
"""
# Sorted rows fill a table many times faster than rows in the order of the shards. Copies have several rows.
_SORT = """
INSERT OR IGNORE INTO faces SELECT version, digest, split, labels FROM files ORDER BY version, digest;
INSERT OR IGNORE INTO paths SELECT version, digest, path FROM files ORDER BY version, digest, path;
DROP TABLE files;
"""
_ADDED = """SELECT digest, NULL, split, NULL, labels FROM faces AS one WHERE version = 'new'
    AND NOT EXISTS (SELECT 1 FROM faces WHERE version = 'old' AND digest = one.digest) ORDER BY digest"""
_REMOVED = """SELECT digest, split, NULL, labels, NULL FROM faces AS one WHERE version = 'old'
    AND NOT EXISTS (SELECT 1 FROM faces WHERE version = 'new' AND digest = one.digest) ORDER BY digest"""
_CHANGED = """SELECT digest, old_split, new_split, old_labels, new_labels FROM pairs
    WHERE old_labels <> new_labels OR old_split <> new_split ORDER BY digest"""
# A path that only one version has.
_RENAMED = """SELECT COUNT(DISTINCT digest) FROM (
    SELECT digest FROM paths GROUP BY digest, path HAVING COUNT(*) = 1
) WHERE digest IN (SELECT digest FROM pairs)"""

Labels = dict[str, int | None]


class Change(NamedTuple):
    """A face that differs between the versions."""

    kind: str
    """ADDED, REMOVED, RELABELLED, or MOVED to another split. A face that is relabelled and moved has two changes."""
    digest: str
    path: str
    """Its first path, in the new version if the face is there."""
    old_split: str
    """"" for an added face."""
    new_split: str
    """"" for a removed face."""
    old: Labels
    """Labels by column, None for a missing one. Empty for an added face."""
    new: Labels
    """Empty for a removed face."""

    def differing(self) -> list[str]:
        """Return the heads that both versions label, and differently. A range of ages is one label."""
        pairs = {name: (self.old[name], self.new[name]) for name in self.old if name in self.new}
        differing = {AGE if name == AGE_HIGH else name for name, (before, now) in pairs.items() if before != now}
        return [name for name in COLUMNS if name in differing]


class Versions:
    """Both versions, inside a `with`."""

    def __init__(self, old: Path, new: Path) -> None:
        """Read both indexes.

        Args:
            old: a work folder, or its folder `data`.
            new: the same.

        Raises:
            StepError: one has no prepared data, or its index is damaged.
        """
        self.folders = {OLD: find(old), NEW: find(new)}
        self._temporary = tempfile.TemporaryDirectory(prefix="data-diff-")
        self._database = sqlite3.connect(Path(self._temporary.name, "versions.sqlite"))
        try:
            self._database.executescript(_SCHEMA)
            self.columns = {version: self._load(version, folder) for version, folder in self.folders.items()}
            self._database.executescript(_SORT)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Versions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database."""
        self._database.close()
        self._temporary.cleanup()

    def changes(self) -> Iterator[Change]:
        """Yield every change: added faces, removed ones, then relabelled and moved ones, each ordered by digest."""
        for kind, query in ((ADDED, _ADDED), (REMOVED, _REMOVED)):
            yield from (self._change(kind, row) for row in self._rows(query))
        for row in self._rows(_CHANGED):
            change = self._change(RELABELLED, row)
            if change.differing():
                yield change
            if change.old_split != change.new_split:
                yield change._replace(kind=MOVED)

    def kept(self) -> int:
        """Return the number of faces of both versions."""
        return self._number("SELECT COUNT(*) FROM pairs")

    def renamed(self) -> int:
        """Return the number of faces of both versions with a path that only one version has."""
        return self._number(_RENAMED)

    def counts(self, version: str) -> Iterator[tuple[str, Labels, int]]:
        """Yield split, labels and number of faces for each combination in a version."""
        query = "SELECT split, labels, COUNT(*) FROM faces WHERE version = ? GROUP BY split, labels"
        for split, labels, faces in self._rows(query, version):
            yield split, json.loads(labels), int(faces)

    def rejected(self, version: str) -> Counter[str]:
        """Return the number of rejected files of a version by kind of reason."""
        path = self.folders[version] / "rejected.csv"
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            return Counter(row["reason"].partition(":")[0] for row in csv.DictReader(stream))

    def _load(self, version: str, folder: Path) -> list[str]:
        """Read an index into the database, and return its label columns."""
        path = folder / _INDEX
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            index = csv.DictReader(stream)
            columns = [name for name in ROW if name in (index.fieldnames or ())]
            try:
                for row in index:
                    face = version, row["digest"], _split(row["split"]), _labels(row, columns), row["path"]
                    self._database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", face)
            except (KeyError, TypeError, ValueError) as error:
                place = f"line {index.line_num} of {path}"
                raise StepError(f"{place} lacks or garbles {error}; run `python -m training prepare` again") from error
        return columns

    def _rows(self, query: str, *values: str) -> Iterator[tuple[str, ...]]:
        with closing(self._database.execute(query, values)) as rows:
            yield from rows

    def _number(self, query: str) -> int:
        ((number,),) = self._rows(query)
        return int(number)

    def _change(self, kind: str, row: tuple[str, ...]) -> Change:
        digest, old_split, new_split, *both = row
        version = OLD if kind == REMOVED else NEW
        ((path,),) = self._rows("SELECT MIN(path) FROM paths WHERE version = ? AND digest = ?", version, digest)
        old, new = (json.loads(labels) if labels else {} for labels in both)
        return Change(kind, digest, path, old_split or "", new_split or "", old, new)


def find(folder: Path) -> Path:
    """Return the folder of the prepared data: `folder` itself, or `data` inside a work folder.

    Raises:
        StepError: there is none.
    """
    for found in (folder, folder / "data"):
        if (found / _INDEX).is_file():
            shards.fingerprint(found)
            return found
    raise StepError(
        f"{folder} has no prepared data: neither it nor its folder `data` has {_INDEX}; give the work folder of "
        "`python -m training prepare`"
    )


def _split(name: str) -> str:
    if name not in SPLITS:
        raise ValueError(f"the split {name!r}")
    return name


def _labels(row: dict[str, str], columns: list[str]) -> str:
    """Return the labels as JSON, with None for missing ones. An index without ranges has exact ages."""
    found = {name: _label(name, row[name]) for name in columns}
    if AGE in found:
        found.setdefault(AGE_HIGH, found[AGE])
    return json.dumps(found, sort_keys=True)


def _label(name: str, text: str) -> int | None:
    label = int(text) if text else MISSING
    if label == MISSING:
        return None
    if not 0 <= label <= _LARGEST[name]:
        raise ValueError(f"the label {name} {label}")
    return label

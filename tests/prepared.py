"""What `prepare` leaves, read."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

Rows = list[dict[str, str]]


def read(path: Path) -> Rows:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def index(data: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in read(data / "index.csv")}


def rejected(data: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in read(data / "rejected.csv")}


def splits_by(rows: Rows, column: str) -> list[int]:
    """In how many splits each value of a column is found."""
    return list(Counter(value for value, _ in {(row[column], row["split"]) for row in rows}).values())

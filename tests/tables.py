"""Drawn faces with the labels in a table, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from training.data import labelling
from training.data.label_options import LabelOptions
from training.data.labelling import Labelling
from training.faces import draw


def write_faces(folder: Path, names: Iterable[str]) -> None:
    """Write a different face under each name."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number % 90, number % 2, number % 5, seed=number))


def chosen(source: Path, *tables: Path, **options: str) -> Labelling:
    """Return the labelling of a source by some tables and options of the command line."""
    values = options.pop("values", "")
    return labelling.choose(source, LabelOptions(tables, values=Path(values) if values else None, **options))


def lines(header: str, rows: Iterable[str]) -> str:
    """Return a table as text."""
    return "\n".join([header, *rows]) + "\n"


def csv_of(rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows with the same keys as CSV without quotes."""
    found = list(rows)
    return lines(",".join(found[0]), [",".join(map(str, row.values())) for row in found])

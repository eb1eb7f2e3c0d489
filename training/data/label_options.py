"""Options of `prepare` about where labels come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# `--labels names` reads no table, also where one is found.
NAMES = "names"


@dataclass(frozen=True)
class LabelOptions:
    """Tables, and how to read them."""

    tables: tuple[Path, ...] = ()
    """Tables, or none to look for them among the faces."""
    columns: str = ""
    """NAME=COLUMN,…"""
    values: Path | None = None
    """File with the labels of words."""
    group: str = ""
    """Column of what belongs into one split, or ""."""

    @property
    def names(self) -> bool:
        """Return whether only the names of the files count."""
        return self.tables == (Path(NAMES),)

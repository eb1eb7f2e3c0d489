"""What a release states about the tables that labelled its faces, and the options of `prepare` that repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.data import label_tables
from training.data.label_options import NAMES, LabelOptions
from training.data.label_tables import TableFile

# Placeholders for a table and for a file of values that the user has not named, with the option that names it.
PLACEHOLDERS = {"$LABELS": "--labels", "$VALUES": "--values"}


def of_names() -> dict[str, Any]:
    """Return the statement for labels in the names of files although the source has a table."""
    return {"names": True}


def of_tables(files: Sequence[TableFile], options: LabelOptions, counts: dict[str, int]) -> dict[str, Any]:
    """Return the statement for labels from tables: names and SHA-256 of the files, the options, and the counts."""
    values = options.values and label_tables.local(options.values)
    return {
        "tables": [_identity(file) for file in files],
        "given": bool(options.tables),
        "columns": options.columns,
        "values": _identity(values) if values else {},
        "group": options.group,
        **counts,
    }


def repeat(stated: dict[str, Any], tables: Sequence[str], values: str, obstacles: list[str]) -> list[str]:
    """Return the options of `prepare` that label the faces as a release states.

    Args:
        stated: what `of_names` or `of_tables` returned, {} for a release without either.
        tables: local copies of the tables, in the same order, or none for a placeholder.
        values: local copy of the file of values, or "" for a placeholder.
        obstacles: gets a sentence for each file that is another one.
    """
    if not stated:
        return []
    if stated.get("names"):
        return ["--labels", NAMES]
    options = []
    if stated["given"]:
        _require_same(stated["tables"], tables, obstacles)
        options += ["--labels", *(_absolute(tables) or ["$LABELS"])]
    if stated["values"]:
        _require_same([stated["values"]], [values] if values else [], obstacles)
        options += ["--values", *(_absolute([values] if values else []) or ["$VALUES"])]
    # `=` keeps a manifest's text from becoming another option.
    return [*options, *(f"--{name}={stated[name]}" for name in ("columns", "group") if stated[name])]


def comments(stated: dict[str, Any]) -> list[str]:
    """Return a line for each file that `repeat` has an option for."""
    files = [("table of labels", file) for file in stated.get("tables", []) if stated["given"]]
    files += [("values of labels", stated["values"])] if stated.get("values") else []
    return [f"{what}: {file['name']}, SHA-256 {file['sha256']}" for what, file in files]


def _identity(file: TableFile) -> dict[str, str]:
    return {"name": file.name, "sha256": file.sha256}


def _require_same(stated: list[dict[str, str]], files: Sequence[str], obstacles: list[str]) -> None:
    found = [label_tables.local(Path(file)).sha256 for file in files]
    if files and found != [file["sha256"] for file in stated]:
        wanted = " and ".join(f"{file['name']}, SHA-256 {file['sha256']}" for file in stated)
        obstacles.append(f"{' and '.join(files)}: the release's faces were labelled with {wanted}, in this order")


def _absolute(files: Sequence[str]) -> list[str]:
    """Return paths that are valid in the working tree of another commit."""
    return [str(Path(file).resolve()) for file in files]

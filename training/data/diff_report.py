"""The differences between two versions of the data as text, Markdown, JSON, and a list of the changed faces."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training import text_table
from training.data.diff import ALL, DataDiff
from training.data.versions import Labels, Versions
from training.labels import LABELS
from training.stability import DriftComparison, DriftStatus

# Distributions in the tables. The JSON file has those of every split.
_SHOWN = (ALL, "test")
_TITLES = ("faces", "distribution", "old", "new", "PSI", "verdict", "changed most")


def text(diff: DataDiff) -> str:
    """Return the report for the terminal."""
    table = text_table.lines([_TITLES, *_shifts(diff)])
    return "\n".join([*(f"{name}: {value}" for name, value in _facts(diff)), "", *table, "", *_remarks(diff)])


def markdown(diff: DataDiff) -> str:
    """Return the report as a section of a merge request. It names no file and no face."""
    facts = [f"| {name} | {value} |" for name, value in _facts(diff)]
    rows = ["| " + " | ".join(row) + " |" for row in (_TITLES, ("---",) * len(_TITLES), *_shifts(diff))]
    remarks = [f"- {remark}" for remark in _remarks(diff)]
    return "\n".join(["## Data", "", "| | |", "|---|---|", *facts, "", *rows, "", *remarks, ""])


def record(diff: DataDiff) -> dict[str, Any]:
    """Return the report for programs."""
    found = {name: value for name, value in vars(diff).items() if name not in ("old", "new", "moved", "shifts")}
    return {
        "old": asdict(diff.old),
        "new": asdict(diff.new),
        **found,
        "moved": [{"from": old, "to": new, "faces": faces} for (old, new), faces in diff.moved.items()],
        "shifts": {scope: {one.measure: _shift(one) for one in found} for scope, found in diff.shifts.items()},
        "leaks": diff.leaks,
    }


def to_json(diff: DataDiff) -> str:
    """Return `record` as JSON."""
    return json.dumps(record(diff), indent=1) + "\n"


def write_list(both: Versions, path: Path) -> None:
    """Write a row for every change, as CSV. It names files and labels of faces."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["change", "path", "digest", "old split", "new split", "old labels", "new labels"])
        for change in both.changes():
            labels = [_labels(change.old), _labels(change.new)]
            table.writerow([change.kind, change.path, change.digest, change.old_split, change.new_split, *labels])


def _facts(diff: DataDiff) -> Iterator[tuple[str, str]]:
    for name, side in (("old version", diff.old), ("new version", diff.new)):
        splits = ", ".join(f"{count:,} {split}" for split, count in side.faces.items())
        total = sum(side.faces.values())
        yield name, f"{side.sha256[:12]}: {total:,} faces ({splits}) of {side.size} pixels, {side.rejected:,} rejected"
    yield "added faces", f"{diff.added:,}"
    yield "removed faces", f"{diff.removed:,}"
    heads = ", ".join(f"{head} {count:,}" for head, count in diff.relabelled_by.items())
    yield "relabelled faces", f"{diff.relabelled:,}" + (f" ({heads})" if heads else "")
    ways = ", ".join(f"{old} to {new} {count:,}" for (old, new), count in diff.moved.items())
    yield "faces in another split", f"{sum(diff.moved.values()):,}" + (f" ({ways})" if ways else "")
    yield "faces at another path", f"{diff.renamed:,}"
    reasons = (f"{reason} {old:,} -> {new:,}" for reason, (old, new) in diff.rejected.items() if old != new)
    yield "rejected files", ", ".join(reasons) or "the same, by reason"


def _shifts(diff: DataDiff) -> Iterator[tuple[str, ...]]:
    for scope in _SHOWN:
        for one in diff.shifts[scope]:
            name, before, now = one.moved()
            sizes = f"{one.expected.sum():,.0f}", f"{one.images:,}"
            yield scope, one.measure, *sizes, f"{one.psi:.4f}", _verdict(one), f"{name}: {before:.1%} -> {now:.1%}"


def _verdict(one: DriftComparison) -> str:
    """Return a verdict of drift detection in the words of a comparison of data."""
    return "SHIFTED" if one.verdict is DriftStatus.DRIFTED else one.verdict


def _shift(one: DriftComparison) -> dict[str, Any]:
    return {
        "psi": round(one.psi, 4),
        "p_value": one.probability,
        "verdict": _verdict(one).lower(),
        "old": dict(zip(one.bins, one.expected.astype(int).tolist(), strict=True)),
        "new": dict(zip(one.bins, one.served.astype(int).tolist(), strict=True)),
    }


def _remarks(diff: DataDiff) -> Iterator[str]:
    yield from (f"LEAK: {leak}" for leak in diff.leaks)
    if diff.shifted:
        named = ", ".join(f"{measure} ({scope})" for scope, measure in diff.shifted)
        yield f"Shifted: {named}. The metrics of one model on the two versions can differ for this reason alone."
    if (diff.old.size, diff.old.resize) != (diff.new.size, diff.new.resize):
        sides = (f"{side.size} pixels by {side.resize}" for side in (diff.old, diff.new))
        yield f"The pixels differ: {' -> '.join(sides)}."
    for head in diff.incomparable:
        yield f"Only one version labels {head}, so it is not compared."
    if diff.old.sha256 == diff.new.sha256:
        yield "Both versions have the same fingerprint: the same faces, labels and splits."


def _labels(labels: Labels) -> str:
    """Return labels as words: "age=30 gender=male"."""
    return " ".join(f"{name}={_word(name, label)}" for name, label in labels.items())


def _word(name: str, label: int | None) -> str:
    if label is None:
        return "missing"
    return LABELS[name][label] if name in LABELS else str(label)

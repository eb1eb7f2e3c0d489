"""The differences between two versions of the prepared data, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from serving.heads import AGE
from serving.request_stats import AGE_BANDS, age_band
from training.config import DriftConfig
from training.data import shards
from training.data.shards import SPLITS, Fingerprint
from training.data.versions import ADDED, MOVED, NEW, OLD, RELABELLED, REMOVED, Labels, Versions
from training.labels import AGE_HIGH, CHOICES, COLUMNS
from training.stability import Counts, DriftComparison, DriftStatus, Sample, compare

ALL = "all"
# Bins of faces without a label, and of ranges of ages that touch several bands.
_MISSING, _SEVERAL = "missing", "several bands"
_BINS = {AGE: (*AGE_BANDS, _SEVERAL, _MISSING), **{head.name: (*head.labels, _MISSING) for head in CHOICES}}


@dataclass(frozen=True)
class DataDiff:
    """The differences between two versions of the prepared data. A face is the bytes of its file."""

    old: Fingerprint
    new: Fingerprint
    added: int
    """Faces of the new version alone."""
    removed: int
    """Faces of the old version alone."""
    kept: int
    """Faces of both versions."""
    relabelled: int
    """Faces of both versions with another label of any head."""
    relabelled_by: Counts
    """Faces of both versions with another label, by head."""
    moved: dict[tuple[str, str], int]
    """Faces of both versions in another split, by old and new split."""
    renamed: int
    """Faces of both versions in files of other paths."""
    rejected: dict[str, tuple[int, int]]
    """Rejected files of the old and the new version, by kind of reason."""
    shifts: dict[str, list[DriftComparison]]
    """Distributions of splits, of age bands and of the classes of each head, over ALL faces and over each split."""
    incomparable: tuple[str, ...]
    """Heads that only one version labels."""

    @property
    def shifted(self) -> list[tuple[str, str]]:
        """Return scope and measure of each distribution that shifted clearly."""
        return [
            (scope, one.measure)
            for scope, found in self.shifts.items()
            for one in found
            if one.verdict is DriftStatus.DRIFTED
        ]

    @property
    def leaks(self) -> list[str]:
        """Return a warning for each direction in which faces changed between the test split and the others."""
        train, validation = (self.moved.get(("test", split), 0) for split in ("train", "validation"))
        found = []
        if train or validation:
            found.append(
                f"Test faces of the old version are now in training ({train}) or validation ({validation}). A model of "
                "the new version has seen them, so no comparison on the old test faces is fair."
            )
        train, validation = (self.moved.get((split, "test"), 0) for split in ("train", "validation"))
        if train or validation:
            found.append(
                f"Training faces ({train}) or validation faces ({validation}) of the old version are now test faces. A "
                "model of the old version has seen them, so it looks too good on the new test faces."
            )
        return found


def create(both: Versions, config: DriftConfig) -> DataDiff:
    """Count all differences.

    Args:
        both: the two versions.
        config: thresholds for the distributions.
    """
    kinds: Counter[str] = Counter()
    relabelled: Counter[str] = Counter()
    moved: Counter[tuple[str, str]] = Counter()
    for change in both.changes():
        kinds[change.kind] += 1
        if change.kind == RELABELLED:
            relabelled.update(change.differing())
        elif change.kind == MOVED:
            moved[change.old_split, change.new_split] += 1
    before, now = both.rejected(OLD), both.rejected(NEW)
    return DataDiff(
        old=shards.fingerprint(both.folders[OLD]),
        new=shards.fingerprint(both.folders[NEW]),
        added=kinds[ADDED],
        removed=kinds[REMOVED],
        kept=both.kept(),
        relabelled=kinds[RELABELLED],
        relabelled_by={name: relabelled[name] for name in COLUMNS if relabelled[name]},
        moved=dict(sorted(moved.items())),
        renamed=both.renamed(),
        rejected={kind: (before[kind], now[kind]) for kind, _ in (before + now).most_common()},
        shifts=_shifts(both, config),
        incomparable=tuple(name for name in COLUMNS if (name in both.columns[OLD]) != (name in both.columns[NEW])),
    )


def _shifts(both: Versions, config: DriftConfig) -> dict[str, list[DriftComparison]]:
    old, new = (_samples(both, version) for version in (OLD, NEW))
    return {scope: compare(old[scope], new[scope], config) for scope in (ALL, *SPLITS)}


def _samples(both: Versions, version: str) -> dict[str, Sample]:
    """Return the distributions of a version over all faces and over each split."""
    counts = {scope: {name: dict.fromkeys(names, 0) for name, names in _BINS.items()} for scope in (ALL, *SPLITS)}
    splits = dict.fromkeys(SPLITS, 0)
    for split, labels, faces in both.counts(version):
        splits[split] += faces
        for name, bin_name in _bins(labels):
            for scope in (ALL, split):
                counts[scope][name][bin_name] += faces
    counts[ALL]["split"] = splits
    return {scope: Sample(counts[scope], faces) for scope, faces in {ALL: sum(splits.values()), **splits}.items()}


def _bins(labels: Labels) -> Iterator[tuple[str, str]]:
    """Yield measure and bin of each label that the version has."""
    if AGE in labels:
        yield AGE, _age_band(labels[AGE], labels[AGE_HIGH])
    for head in CHOICES:
        if head.name in labels:
            label = labels[head.name]
            yield head.name, _MISSING if label is None else head.labels[label]


def _age_band(low: int | None, high: int | None) -> str:
    """Return the bin of an age or of a range of ages."""
    if low is None or high is None:
        return _MISSING
    first, last = age_band(low), age_band(high)
    return first if first == last else _SEVERAL

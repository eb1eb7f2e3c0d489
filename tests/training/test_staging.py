"""What `prepare` keeps of a face whose labels are partial, and which twins contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from training.data.staging import Face, Staging
from training.labels import MAX_AGE, MISSING, Labels

SIDE = 2
EXACT = Labels(30, 30, (1, 2), "1")
RANGE = Labels(20, 29, (1, MISSING), "2")
OPEN = Labels(70, MAX_AGE, (MISSING, MISSING), "3")
NO_AGE = Labels(MISSING, MISSING, (0, 4), "4")


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    found = Staging(tmp_path)
    yield found
    found.remove()


def accept(staging: Staging, **faces: Labels) -> dict[str, Face]:
    """Accept files by digest, and return what is kept of them by digest."""
    for row, (name, labels) in enumerate(faces.items()):
        digest = name.partition("_")[0]
        staging.accept(row, name, labels, digest, bytes(256))
    staging.group(range(staging.images()), lambda _: "train")
    staging.reject_contradictions()
    return {face.digest: face for face in staging.faces()}


def test_ranges_and_missing_labels_are_kept(staging: Staging) -> None:
    found = accept(staging, a=EXACT, b=RANGE, c=OPEN, d=NO_AGE)
    assert {digest: face.labels for digest, face in found.items()} == {
        "a": (30, 1, 2, 30),
        "b": (20, 1, MISSING, 29),
        "c": (70, MISSING, MISSING, MAX_AGE),
        "d": (MISSING, 0, 4, MISSING),
    }
    assert [face.cells[:4] for face in found.values()] == [
        ["30", "1", "2", "30"],
        ["20", "1", "", "29"],
        ["70", "", "", str(MAX_AGE)],
        ["", "0", "4", ""],
    ]


def test_the_fingerprint_of_exact_ages_is_that_of_older_versions_and_a_range_is_part_of_it(staging: Staging) -> None:
    found = accept(staging, a=EXACT, b=RANGE)
    assert found["a"].identity == [30, 1, 2, "a", "train", "a"]
    assert found["b"].identity == [20, 1, MISSING, "b", "train", "b", 29]


@pytest.mark.parametrize(
    "other",
    [Labels(30, 30, (1, MISSING), "1"), Labels(30, 39, (1, 2), "1"), Labels(MISSING, MISSING, (1, 2), "1")],
    ids=["a missing label", "a range around the age", "a missing age"],
)
def test_twins_with_more_and_with_less_labels_contradict_each_other(staging: Staging, other: Labels) -> None:
    assert set(accept(staging, a_1=EXACT, a_2=other, b_1=RANGE, b_2=RANGE)) == {"b"}
    assert [path for path, _ in staging.rejected()] == ["a_1", "a_2"]

"""The published set, dirty as it is, is accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prepared import read, rejected, splits_by
from training.config import PrepareConfig
from training.prepare import prepare


@pytest.mark.slow
def test_the_published_set_is_accounted_for_to_the_last_file(utkface: Path, tmp_path: Path) -> None:
    fingerprint = prepare(utkface, tmp_path / "data", PrepareConfig(size=32))
    rows, reasons = read(tmp_path / "data" / "index.csv"), rejected(tmp_path / "data")
    names = {path.name for path in utkface.iterdir()}
    counted = sum(fingerprint.faces.values()) + fingerprint.copies + fingerprint.rejected
    assert len(rows) + len(reasons) == counted == len(names)
    # Every image counts once: 104 files are copies of another one with the same labels.
    assert len({row["digest"] for row in rows}) == sum(fingerprint.faces.values())
    assert fingerprint.copies == 104
    assert {row["path"] for row in rows} | set(reasons) == names
    assert set(splits_by(rows, "group")) == set(splits_by(rows, "digest")) == {1}
    without_race = {name for name, reason in reasons.items() if reason.startswith("name does not parse")}
    assert without_race == {name for name in names if name.count("_") == 2}
    assert len(without_race) == 3
    assert {reasons[name].split(":")[0] for name in set(reasons) - without_race} == {"contradicting twin"}

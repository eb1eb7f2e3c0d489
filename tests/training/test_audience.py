"""Demographics from the coarse counts in a log: corrected as the release's test faces show that it errs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import release as releases
from serving.demographics import confusion
from serving.demographics.summary import Corrector
from serving.request_stats import AGE_BANDS
from tests.loglines import BUNDLED, line
from training.__main__ import main
from training.evaluation.metrics import METRICS_FILE
from training.monitoring import audience
from training.monitoring.traffic import Traffic

RELEASE = releases.load(str(BUNDLED))
FACES = 1000
# Confusion on test faces; the correction knows validation faces only.
MEASURED: dict[str, Any] = json.loads((BUNDLED / METRICS_FILE).read_text())["confusion"]


def answered(table: str, shares: list[float]) -> list[int]:
    """Return how often each answer comes from FACES faces with these true shares, as test faces were answered."""
    counts = np.array(MEASURED[table], np.float64)
    expected = FACES * np.array(shares) @ (counts / counts.sum(axis=1, keepdims=True))
    whole = np.floor(expected).astype(int)
    whole[whole.argmax()] += FACES - whole.sum()
    found: list[int] = whole.tolist()
    return found


def traffic(women: float, bands: list[float]) -> Traffic:
    gender = dict(zip(RELEASE.labels["gender"], answered("gender", [1 - women, women]), strict=True))
    return Traffic(
        RELEASE.version, {"age": dict(zip(AGE_BANDS, answered("age_band", bands), strict=True)), "gender": gender}
    )


@pytest.fixture(scope="module")
def corrector() -> Corrector:
    return Corrector(confusion.parse(RELEASE.manifest, RELEASE.labels))


@pytest.mark.parametrize("women", [0.05, 0.1, 0.5, 0.95])
def test_few_women_are_not_counted_as_many(corrector: Corrector, women: float) -> None:
    found = audience.of_traffic(traffic(women, [0.1, 0.1, 0.5, 0.2, 0.1]), corrector)["gender"]["female"]
    assert found.low <= women <= found.high
    # Where both genders are alike, errors cancel: plain counting is right, and the correction adds its own uncertainty.
    assert abs(found.value - women) <= max(0.02, abs(found.counted - women))


@pytest.mark.parametrize("bands", [[0.4, 0.3, 0.2, 0.05, 0.05], [0.02, 0.08, 0.3, 0.3, 0.3]], ids=["young", "old"])
def test_age_bands_are_corrected(corrector: Corrector, bands: list[float]) -> None:
    found = audience.of_traffic(traffic(0.5, bands), corrector)["age"]
    errors = [abs(found[band].value - true) for band, true in zip(AGE_BANDS, bands, strict=True)]
    counted = [abs(found[band].counted - true) for band, true in zip(AGE_BANDS, bands, strict=True)]
    assert sum(errors) < sum(counted)
    assert all(found[band].low <= true <= found[band].high for band, true in zip(AGE_BANDS, bands, strict=True))


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "log.jsonl"
    genders = ["female", "male", "male"] * 20
    path.write_text("".join(f"{json.dumps(line(gender=gender) | changes)}\n" for gender in genders))
    return path


def run(capsys: pytest.CaptureFixture[str], release: Path, log: Path, *options: str) -> tuple[int, str, str]:
    code = main(["audience", "--release", str(release), "--logs", str(log), *options])
    return code, *capsys.readouterr()


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path)
    code, out, _ = run(capsys, BUNDLED, log)
    assert code == 0
    assert "60 faces in 60 requests" in out
    assert "counted twice" in out
    found = json.loads(run(capsys, BUNDLED, log, "--json")[1])
    assert found["gender"]["female"]["counted"] == pytest.approx(1 / 3)
    assert set(found["age"]) == set(AGE_BANDS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"release": "20250101-00000000"}, "counts no age predicted by release"),
        ({"predictions": {"age": {"20-39": 1}}}, "counts ages alone"),
        ({"predictions": {"gender": {"male": 1}}}, "counts no age"),
    ],
)
def test_a_log_that_says_too_little_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    code, _, errors = run(capsys, BUNDLED, written(tmp_path, **changes))
    assert (code, said in errors) == (3, True), errors


def test_a_release_without_statistics_gets_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(BUNDLED, tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "manifest.json").read_text())
    del manifest["demographics"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest))
    code, _, errors = run(capsys, tmp_path / "old", written(tmp_path))
    assert (code, "has no statistics to correct counts with" in errors) == (3, True), errors

"""From requests over HTTP to a verdict: the real function's lines, through a bucket or not, into the real command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.request_stats import age_band
from tests import federation
from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.fake_gcp.internet import internet
from tests.fake_gcp.server import FakeCloud, cloud
from tests.loglines import BUNDLED, RELEASE, STORED, entry, line, with_http, written
from tests.server import Server, serve
from training.__main__ import main
from training.faces import draw

REQUESTS = 120


@dataclass(frozen=True)
class Deployed:
    """The function, and the file that its log goes to."""

    server: Server
    log: Path

    def ask(self, images: list[bytes]) -> tuple[bytes, list[dict[str, Any]]]:
        """Send each alone; the lines that this left, and the answers."""
        start = self.log.stat().st_size
        predictions = [self.server.post(image).json()["predictions"][0] for image in images]
        lines = self.log.read_bytes()[start:]
        assert lines.count(b'"POST"') == len(images)
        return lines, predictions


@contextmanager
def deployed(folder: Path, heads: str = "age,gender") -> Iterator[Deployed]:
    log = folder / "function.log"
    with log.open("wb") as file, serve(FUNCTION, stderr=file.fileno(), LOG_LEVEL="INFO", HEADS=heads) as server:
        yield Deployed(server, log)


@dataclass(frozen=True)
class Stretches:
    """Lines of three stretches of time."""

    usual: bytes
    later: bytes
    # of one age band only, the one that is answered least among those of which there are images at all
    narrow: bytes


@pytest.fixture(scope="module")
def stretches(tmp_path_factory: pytest.TempPathFactory) -> Stretches:
    """Of drawn faces: what they are answered means nothing, but it is the function that answers."""
    usual, later = ([draw(n * 37 % 101, n % 2, n % 5, seed=s + n) for n in range(REQUESTS)] for s in (0, 9000))
    with deployed(tmp_path_factory.mktemp("log")) as function:
        lines, predictions = function.ask(usual)
        bands = [age_band(prediction["age"]["years"]) for prediction in predictions]
        rare = min(set(bands), key=bands.count)
        some = [image for image, band in zip(usual, bands, strict=True) if band == rare]
        return Stretches(lines, function.ask(later)[0], function.ask((some * REQUESTS)[:REQUESTS])[0])


@pytest.fixture
def usual(stretches: Stretches, tmp_path: Path) -> str:
    path = tmp_path / "usual.log"
    path.write_bytes(stretches.usual)
    return str(path)


def drift(tmp_path: Path, lines: bytes, *options: str) -> int:
    """The command's exit code on lines in a file."""
    log = tmp_path / "now.log"
    log.write_bytes(lines)
    return main(["drift", "--logs", str(log), *(options or ("--release", str(BUNDLED)))])


def test_a_later_stretch_of_the_same_kind_is_stable_and_another_drifts(
    stretches: Stretches, usual: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = tmp_path / "build" / "metrics.txt"
    options = ["--release", str(BUNDLED), "--reference", usual, "--metrics", str(metrics)]
    assert drift(tmp_path, stretches.later, *options) == 0
    told = capsys.readouterr().out
    assert told.endswith("no drift\n")
    assert re.search(r"^age +120 +0\.\d{4} +0\.\d{4} +0\.2000 +stable +\S+: \d+\.\d% -> \d+\.\d%$", told, re.MULTILINE)
    assert {line.split()[0] for line in told.splitlines()} > {"age", "gender", "input_check", "sides", "formats"}
    assert "drift_detected 0\n" in metrics.read_text()

    assert drift(tmp_path, stretches.narrow, *options) == 1
    assert "drifted: age" in capsys.readouterr().out
    (found,) = re.findall(r'^drift_psi_corrected\{measure="age"\} (\S+)$', metrics.read_text(), re.MULTILINE)
    assert float(found) > 0.2
    assert "drift_detected 1\n" in metrics.read_text()
    assert metrics.read_text().endswith("# EOF\n")


def test_the_log_of_the_release_in_production_is_read_from_a_bucket(
    stretches: Stretches,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    registry, logs = f"gs://{emulator.bucket}/{tmp_path.name}/registry", f"{tmp_path.name}/logs"
    emulator.upload(BUNDLED, f"{tmp_path.name}/registry/{RELEASE}")
    watched = ["drift", "--registry", registry, "--logs", f"gs://{emulator.bucket}/{logs}"]
    assert main(watched) == 3
    assert "has no release in production yet" in capsys.readouterr().err
    assert main(["promote", "--registry", registry, RELEASE]) == 0

    for day, lines in (("24", stretches.usual), ("25", stretches.narrow)):
        wrapped = [entry(json.loads(one)) for one in lines.splitlines() if one.startswith(b"{")]
        # a revision with another release, and a file that was cut off
        wrapped += [entry(line("60+", release="20250101-0000")) for _ in range(500)]
        (hour := tmp_path / day).mkdir()
        (hour / "10:00:00_10:59:59_S0.json").write_bytes(written(wrapped) + b'{"insertId": "5f')
        emulator.upload(hour, f"{logs}/run.googleapis.com/stderr/2026/11/{day}")

    days = f"gs://{emulator.bucket}/{logs}/run.googleapis.com/stderr/2026/11"
    watched[-1] = f"{days}/25"
    assert main([*watched, "--reference", f"{days}/24"]) == 1
    told = capsys.readouterr().out
    assert f"release {RELEASE}: {REQUESTS} requests with {REQUESTS} images" in told
    assert "1 damaged, 500 of other releases such as 20250101-0000" in told
    assert "drifted: age" in told


def test_too_few_requests_are_no_drift(
    stretches: Stretches, usual: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = b"".join(stretches.narrow.splitlines(keepends=True)[:50])
    assert drift(tmp_path, few, "--release", str(BUNDLED), "--reference", usual) == 0
    assert "too few requests to judge: 50 with a prediction" in capsys.readouterr().out
    assert drift(tmp_path, written([with_http(200, "GET", "/health")])) == 0
    assert "too few requests to judge: 0 with a prediction" in capsys.readouterr().out


@pytest.mark.parametrize("stored", STORED)
def test_logs_are_read_as_other_tools_store_them(
    stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(tmp_path, STORED[stored]([line("0-12")] * 130)) == 1
    assert f"release {RELEASE}: 130 requests with 130 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"", "none of the 0 lines"),
        (b"INFO: Created TensorFlow Lite XNNPACK delegate\nhello\n", "none of the 2 lines"),
        (b'{"log": "hello\\n"}\n{"log": \n', "none of the 2 lines is a log line of the function, 1 of them damaged"),
        (b"textPayload: hello\ntimestamp: 2026-11-25\n", "none of the 2 lines"),
        (b"[]", "none of the 0 lines"),
    ],
)
def test_a_log_without_a_line_of_the_function_is_an_error(
    lines: bytes, said: str, usual: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(tmp_path, lines) == 3
    assert said in capsys.readouterr().err
    (tmp_path / "earlier.log").write_bytes(lines)
    reference = ["--release", str(BUNDLED), "--reference", str(tmp_path / "earlier.log")]
    assert drift(tmp_path, Path(usual).read_bytes(), *reference) == 3


def test_only_requests_since_are_looked_at(
    stretches: Stretches, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(tmp_path, stretches.narrow, "--release", str(BUNDLED), "--since", "1h") == 1
    assert drift(tmp_path, stretches.narrow, "--release", str(BUNDLED), "--since", "2999-01-01") == 0
    assert "0 requests with 0 images" in capsys.readouterr().out
    with pytest.raises(SystemExit) as wrong:
        drift(tmp_path, b"", "--release", str(BUNDLED), "--since", "yesterday")
    assert wrong.value.code == 2
    assert "'yesterday' is not a date, 36h or 7d" in capsys.readouterr().err


@pytest.mark.parametrize("heads", ["age,gender", "age,gender,ethnicity"])
def test_ethnicity_is_compared_only_where_it_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], face: bytes, heads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_PREDICTIONS", heads)
    with deployed(tmp_path, "age,gender,ethnicity") as function:
        lines, _ = function.ask([face])
    drift(tmp_path, lines)
    assert ("\nethnicity " in capsys.readouterr().out) == ("ethnicity" in heads)


def test_real_faces_answer_as_the_test_faces_and_children_alone_do_not(
    utkface: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = sorted(utkface.glob("*_*_*_*.jpg"))
    paths = [known[place] for place in np.random.default_rng(3).permutation(len(known))]
    children = [path for path in paths if int(path.name.split("_")[0]) < 10]
    with deployed(tmp_path) as function:
        everybody, _ = function.ask([path.read_bytes() for path in paths[: 2 * REQUESTS]])
        young, _ = function.ask([path.read_bytes() for path in children[:REQUESTS]])
    assert drift(tmp_path, everybody) == 0
    assert "compared with its predictions for 1,949 test faces" in capsys.readouterr().out
    assert drift(tmp_path, young) == 1
    assert "drifted: age" in capsys.readouterr().out


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    """Google Cloud, and the identity of the job `drift`."""
    with cloud(tmp_path) as running, internet(tmp_path, running.hosts()) as reached:
        for name, value in {**reached, **federation.job(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        yield running


def test_the_verdict_becomes_an_entry_that_an_alert_can_look_for(
    stretches: Stretches, usual: str, tmp_path: Path, google: FakeCloud
) -> None:
    log = "projects/some-project/logs/age-gender-drift"
    options = ["--release", str(BUNDLED), "--reference", usual, "--log-to", log]
    assert drift(tmp_path, stretches.narrow, *options) == 1
    assert drift(tmp_path, stretches.later, *options) == 0
    # Google's library introduces itself by an entry of its own.
    drifted, stable = (one for one in google.written if "severity" in one)
    assert drifted["logName"] == stable["logName"] == log
    assert (drifted["severity"], stable["severity"]) == ("WARNING", "INFO")
    payload = drifted["jsonPayload"]
    assert (payload["verdict"], payload["release"], payload["images"]) == ("drifted", RELEASE, REQUESTS)
    assert "age" in payload["drifted"]
    assert payload["psi"]["age"] > 0.2
    assert (stable["jsonPayload"]["verdict"], stable["jsonPayload"]["drifted"]) == ("stable", [])


def test_an_entry_that_cannot_be_written_is_said(
    stretches: Stretches, tmp_path: Path, google: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--release", str(BUNDLED), "--log-to"]
    # The deployer may not write entries.
    federation.job(tmp_path, "production")
    assert drift(tmp_path, stretches.usual, *options, "projects/p/logs/drift") == 3
    assert google.written == []
    assert "drift: projects/p/logs/drift: " in capsys.readouterr().err
    assert drift(tmp_path, stretches.usual, *options, "drift") == 3
    assert "'drift' is not the name of a log; expected projects/<project>/logs/<name>" in capsys.readouterr().err


def test_a_release_without_figures_cannot_be_a_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare := tmp_path / "bare").mkdir()
    assert drift(tmp_path, b"", "--release", str(bare)) == 3
    assert f"{bare} is no release: it has no manifest.json" in capsys.readouterr().err
    for path in BUNDLED.iterdir():
        if path.name != "metrics.json":
            (bare / path.name).write_bytes(path.read_bytes())
    assert drift(tmp_path, b"", "--release", str(bare)) == 3
    assert f"{bare} has no metrics.json" in capsys.readouterr().err

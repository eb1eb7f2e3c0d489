"""Cloud storage that fails: what heals within the deadline heals, the rest ends the start with one line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from serving import release
from serving.addresses import Address
from serving.release import ReleaseError
from tests import faulty_storage as faults
from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.faulty_storage import Fault, FaultyStorage
from tests.ports import free_port
from tests.server import serve, start
from training.registry.gcs import CloudStorage

BUNDLED = FUNCTION / "model"
MODEL, MANIFEST = "model.tflite", "manifest.json"
# The deadline of these tests, in seconds.
DEADLINE = 4
# What a start takes beside the fetch, on a busy machine.
START = 15

PASSING: list[Fault] = [
    *map(faults.status, (408, 429, 500, 502, 503, 504)),
    faults.reset_at_once,
    faults.reset_midway,
    faults.close_midway,
    faults.stall_at_once,
    faults.stall_midway,
]
NAMES = ["408", "429", "500", "502", "503", "504", *(fault.__name__ for fault in PASSING[6:])]


@pytest.mark.parametrize("name", [MODEL, MANIFEST])
@pytest.mark.parametrize("fault", PASSING, ids=NAMES)
def test_a_trouble_that_passes_heals(storage: FaultyStorage, uri: str, fault: Fault, name: str) -> None:
    storage.plan(name, fault, times=1)
    assert release.load(uri, seconds=DEADLINE) == release.load(str(BUNDLED))
    assert len(storage.pauses(name)) == 1


def test_attempts_keep_their_distance(storage: FaultyStorage, uri: str) -> None:
    storage.plan(MANIFEST, faults.status(503))
    with pytest.raises(ReleaseError, match="503 Service Unavailable"):
        release.load(uri, seconds=DEADLINE)
    pauses = storage.pauses(MANIFEST)
    assert 2 <= len(pauses) <= 15
    assert min(pauses) >= 0.1


@pytest.mark.parametrize("name", [MODEL, MANIFEST])
@pytest.mark.parametrize("fault", PASSING, ids=NAMES)
@pytest.mark.slow
def test_a_trouble_that_stays_ends_within_the_deadline(
    storage: FaultyStorage, uri: str, fault: Fault, name: str
) -> None:
    storage.plan(name, fault)
    began = time.monotonic()
    with pytest.raises(ReleaseError, match=uri):
        release.load(uri, seconds=DEADLINE / 2)
    assert time.monotonic() - began < DEADLINE / 2 + 1


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        (MODEL, faults.status(404), "faulty/1/model.tflite does not exist"),
        (MODEL, faults.status(403), "403 Forbidden"),
        (MANIFEST, faults.status(403), "403 Forbidden"),
        (MANIFEST, faults.status(401), "401 Unauthorized"),
        (MANIFEST, faults.status(400), "400 Bad Request"),
        (MODEL, faults.half, "SHA-256"),
        (MODEL, faults.altered, "SHA-256"),
        (MODEL, faults.document(b""), "SHA-256"),
        (MANIFEST, faults.half, "manifest.json of .* is not valid JSON"),
        (MANIFEST, faults.document(b"<html>sign in</html>"), "manifest.json of .* is not valid JSON"),
        (MANIFEST, faults.document(b'{"kind": "storage#object"}'), "format None"),
    ],
)
def test_what_no_repetition_mends_ends_at_once(
    storage: FaultyStorage, uri: str, name: str, fault: Fault, said: str
) -> None:
    storage.plan(name, fault)
    with pytest.raises(ReleaseError, match=said) as error:
        release.load(uri, seconds=DEADLINE)
    assert "\n" not in str(error.value)
    assert storage.pauses(name) == []


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        (MODEL, faults.stall_midway, "cannot start: "),
        (MODEL, faults.altered, "cannot start: the model of gs://"),
        (MODEL, faults.status(404), "does not exist"),
        (MANIFEST, faults.status(403), "403 Forbidden"),
    ],
)
def test_a_start_that_fails_says_one_line(storage: FaultyStorage, uri: str, name: str, fault: Fault, said: str) -> None:
    storage.plan(name, fault)
    process = start(FUNCTION, free_port(), {"MODEL_URI": uri, "MODEL_FETCH_TIMEOUT": str(DEADLINE)})
    _, errors = process.communicate(timeout=DEADLINE + START)
    (line,) = errors.splitlines()
    assert said in line
    assert process.returncode == 1


@pytest.mark.parametrize(
    "kind", ["external_account", "impersonated_service_account", "external_account_authorized_user"]
)
def test_credentials_that_the_function_cannot_use_are_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"type": kind}))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{file}")
    with pytest.raises(ReleaseError, match=f"{file} have the type '{kind}', .*`gcloud storage cp -r`"):
        release.load("gs://releases/1", seconds=DEADLINE)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "no JSON file of Google Cloud"), ("[]", "no JSON file"), (None, "No such file")]
)
def test_a_file_that_holds_no_credentials_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    file = tmp_path / "credentials.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{file}")
    with pytest.raises(ReleaseError, match=f"{file}.*{said}"):
        release.load("gs://releases/1", seconds=DEADLINE)


def test_an_empty_variable_names_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("HOME", f"{tmp_path}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    with pytest.raises(ReleaseError) as error:
        release.load("gs://releases/1", seconds=2)
    # The metadata server of the runtime is asked, which is not here.
    assert "file" not in f"{error.value}"
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ


def test_an_emulator_without_a_scheme_is_read(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.upload(BUNDLED, "plain/1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url.removeprefix("http://"))
    assert release.load(f"gs://{emulator.bucket}/plain/1") == release.load(str(BUNDLED))
    assert CloudStorage(Address(emulator.bucket, "plain/1")).read("manifest.json")


def test_the_function_starts_through_troubles(storage: FaultyStorage, uri: str, face: bytes) -> None:
    storage.plan(MANIFEST, faults.status(429), times=2)
    storage.plan(MODEL, faults.reset_midway, times=2)
    with serve(FUNCTION, MODEL_URI=uri) as server:
        assert server.post(face).json()["predictions"]

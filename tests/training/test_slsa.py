"""A release states how it was built, as in-toto and SLSA ask."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests import statements
from tests.conftest import FUNCTION, ROOT
from training import slsa
from training.registry import provenance

_PROJECT = "https://gitlab.example.com/group/faces"
_LOCK = {"file": "training/requirements-gpu.txt", "sha256": "b" * 64}
_ORIGIN = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "pipeline": f"{_PROJECT}/-/pipelines/777",
    "data": {"sha256": "d" * 64},
    "source": {"name": "faces.tar.gz", "sha256": "e" * 64},
    "preset": "default",
    "config": {"epochs": 14},
    "convert": {"mirror": True},
    "evaluate": {"bootstrap": 200},
    "made_from": "f" * 64,
    "trained": {"on": [{"lock": _LOCK}], "releases": {"gs://r/1": {"version": "1", "sha256": "1" * 64}}},
    "converted": {"job": f"{_PROJECT}/-/jobs/5", "lock": {"file": "training/requirements-cpu.txt", "sha256": "c" * 64}},
}
_FILES = {"manifest.json": "2" * 64, "model.tflite": "3" * 64}


def _stated(origin: dict[str, Any], created: str = "2026-11-01T00:00:00+00:00") -> dict[str, Any]:
    return statements.read(provenance.statement({"provenance": origin, "created": created}, _FILES))


def test_a_release_states_what_went_into_it() -> None:
    found = _stated(_ORIGIN)
    assert {each["name"]: each["digest"]["sha256"] for each in found["subject"]} == _FILES
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    definition, run = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    materials = definition["resolvedDependencies"]
    assert materials[0] == {"uri": f"git+{_PROJECT}", "digest": {"gitCommit": _ORIGIN["commit"]}}
    parameters = {name: _ORIGIN[name] for name in ("preset", "config", "convert", "evaluate")}
    assert definition["externalParameters"] == parameters
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    assert {each["name"]: each["digest"]["sha256"] for each in materials[1:]} == {
        "configuration": hashlib.sha256(canonical).hexdigest(),
        "faces": "d" * 64,
        "archive of faces": "e" * 64,
        "training/requirements-gpu.txt": "b" * 64,
        "training/requirements-cpu.txt": "c" * 64,
        "release 1": "1" * 64,
    }
    assert run["builder"]["id"] == _PROJECT
    assert run["metadata"]["invocationId"] == f"{_PROJECT}/-/jobs/5"
    assert definition["buildType"].startswith(f"{_PROJECT}/-/blob/{_ORIGIN['commit']}/docs/explanation/provenance.md#")


def test_the_kinds_of_builds_are_described() -> None:
    """`buildType` is the address of a heading."""
    text = (ROOT / "docs" / "explanation" / "provenance.md").read_text()
    assert {"### Release", "### Image"} <= set(text.splitlines())


def test_a_release_of_a_working_copy_states_that_it_had_changes() -> None:
    found = _stated({"commit": f"{_ORIGIN['commit']}+", "preset": "smoke"})["predicate"]
    assert found["buildDefinition"]["internalParameters"] == {"localChanges": True}
    assert found["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"gitCommit": _ORIGIN["commit"]}
    assert found["runDetails"]["builder"]["id"] == "https://localhost"


def test_the_manifest_of_the_bundled_release_is_enough() -> None:
    manifest = json.loads((FUNCTION / "model" / "manifest.json").read_text())
    assert _stated(manifest["provenance"], manifest["created"])["predicate"]["runDetails"]["metadata"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"_type": "https://in-toto.io/Statement/v1"}'])
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        slsa.subjects(data)

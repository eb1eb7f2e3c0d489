"""Bills of materials name every package, image and model, as CycloneDX asks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import FUNCTION
from training import sbom
from training.errors import StepError

_MODEL = sbom.Model("age-gender", "20261101-aaaaaaaa", "a" * 64)
# CycloneDX's own schema, "CycloneDX v1.6 JSON Reference".
_SCHEMA = JsonStrictValidator(SchemaVersion.V1_6)
_DIGEST = "0" * 64


def _bill(function: Path = FUNCTION, base: str = "python:3.11") -> str:
    return sbom.of_image("function", "1", "2026-11-01T00:00:00+00:00", function, base, _MODEL)


def _components(text: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in json.loads(text)["components"] if each["type"] == kind]


@pytest.mark.parametrize("base", ["", "python", "python:3.11", f"host:5000/python:3.11@sha256:{_DIGEST}"])
def test_the_document_fits_the_schema(base: str) -> None:
    assert _SCHEMA.validate_str(_bill(base=base)) is None
    assert _SCHEMA.validate_str(_bill(base=base).replace('"pkg:', '"no address:').replace("SHA-256", "SHA")) is not None


def test_it_has_every_pin_of_the_lock_file_with_its_hashes() -> None:
    lock = (FUNCTION / "requirements.txt").read_text()
    packages = _components(_bill(), "library")
    pins = re.findall(r"^([^\s#]+)==(\S+)", lock, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in packages] == pins
    assert "pkg:pypi/pillow@13.0.0" in {each["purl"] for each in packages}
    assert [each["content"] for package in packages for each in package["hashes"]] == re.findall(r"sha256:(\w+)", lock)
    # Only Windows needs it.
    assert [each["name"] for each in packages if each["scope"] == "optional"] == ["colorama"]


def test_it_has_the_model_and_those_of_the_detector() -> None:
    model, *detectors = _components(_bill(), "machine-learning-model")
    assert (model["name"], model["version"]) == (_MODEL.name, _MODEL.version)
    assert model["hashes"] == [{"alg": "SHA-256", "content": _MODEL.sha256}]
    assert {each["name"] for each in detectors} == {path.name for path in FUNCTION.glob("serving/**/*.tflite")} != set()


@pytest.mark.parametrize(
    ("base", "stated"),
    [
        ("python:3.11-slim", {"name": "python", "version": "3.11-slim"}),
        (
            f"python:3.11@sha256:{_DIGEST}",
            {"name": "python", "version": "3.11", "hashes": [{"alg": "SHA-256", "content": _DIGEST}]},
        ),
        ("host:5000/runtimes/python311", {"name": "host:5000/runtimes/python311"}),
    ],
)
def test_it_has_the_base_image(base: str, stated: dict[str, Any]) -> None:
    (found,) = _components(_bill(base=base), "container")
    assert found == {"type": "container", "bom-ref": "base", **stated}


def test_the_document_of_a_release_has_its_model_and_what_that_was_made_of() -> None:
    teacher = sbom.Model("age-gender", "20261001-bbbbbbbb", "b" * 64)
    text = sbom.of_release(_MODEL, "2026-11-01T00:00:00+00:00", "c" * 64, [teacher])
    assert _SCHEMA.validate_str(text) is None
    assert json.loads(text)["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": _MODEL.sha256}]
    assert _components(text, "data")[0]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert [each["version"] for each in _components(text, "machine-learning-model")] == [teacher.version]


@pytest.mark.parametrize("line", ["pillow==13.0.0", "pillow>=13", "-r other.txt", "pillow @ file:///pillow.whl"])
def test_a_package_without_a_pin_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"# made by hand\n{line}\n")
    with pytest.raises(StepError, match=re.escape(f"has '{line}', which is no pinned version with hashes")):
        _bill(tmp_path)


def test_a_function_without_a_lock_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"requirements\.txt cannot be read"):
        _bill(tmp_path)

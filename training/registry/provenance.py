"""Statements about a release for other tools. They say what its manifest says, so publishing again writes the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training import sbom, slsa
from training.sbom import Model
from training.slsa import Build, Material

# Members of the manifest's provenance that are parameters of a training.
_PARAMETERS = ("preset", "config", "convert", "evaluate")

_NAMES = {"data": "faces", "source": "archive of faces"}


def statement(manifest: Mapping[str, Any], subjects: Mapping[str, str]) -> str:
    """Return the SLSA provenance of a release as JSON.

    Args:
        manifest: Its manifest, complete.
        subjects: SHA-256 in hex of its files by name.
    """
    origin = manifest["provenance"]
    parameters = {name: origin[name] for name in _PARAMETERS if name in origin}
    build = Build(
        kind="release",
        commit=str(origin.get("commit", "")),
        job=str(_part(origin, "converted").get("job") or origin.get("pipeline", "")),
        parameters=parameters,
        materials=[slsa.configuration(parameters), *_materials(origin)],
        finished=str(manifest["created"]),
        details={name: origin[name] for name in ("pipeline", "made_from") if origin.get(name)},
    )
    return slsa.statement(subjects, build)


def bill(manifest: Mapping[str, Any]) -> str:
    """Return the bill of materials of a release as JSON: its model, and what that was made of."""
    origin, name = manifest["provenance"], manifest["name"]
    model = Model(name, manifest["version"], manifest["model"]["sha256"])
    releases = [Model(name, each["version"], each["sha256"]) for each in _releases(origin)]
    return sbom.of_release(model, manifest["created"], _part(origin, "data").get("sha256", ""), releases)


def _materials(origin: Mapping[str, Any]) -> Iterator[Material]:
    """Yield the fingerprint of the faces, their archive, lock files and initial releases, each once."""
    for name in ("data", "source"):
        if digest := _part(origin, name).get("sha256"):
            yield slsa.material(_NAMES[name], digest)
    trained = _part(origin, "trained")
    machines = [*trained.get("on", []), _part(origin, "converted")]
    locks = {lock["file"]: lock["sha256"] for each in machines if (lock := each.get("lock"))}
    yield from (slsa.material(file, digest) for file, digest in locks.items() if digest)
    for release in _releases(origin):
        yield slsa.material(f"release {release['version']}", release["sha256"])


def _releases(origin: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return version and digest of the initial release and the teachers, each once."""
    found = _part(_part(origin, "trained"), "releases").values()
    return list({each["sha256"]: each for each in found}.values())


def _part(origin: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = origin.get(name)
    return found if isinstance(found, dict) else {}

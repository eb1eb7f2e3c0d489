"""Decide what a pipeline has to do: compare this commit and its data with the releases and with what is live.

The decision rests on what is there, not on what one push changed. So a push that is cancelled or fails is made good by
the next one, whatever that changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training import skipping, sources
from training.deployment.build import source_digest
from training.deployment.deploy import RELEASE, SOURCE, serves
from training.deployment.releases import plain
from training.deployment.service import REFUSED, CloudRunService
from training.registry.registry import Registry

TRAIN, DEPLOY, NOTHING = "train", "deploy", "nothing"

_ROOT = Path(__file__).parents[2]
# Steps whose code determines a release and whether it may be published.
_STEPS = ("prepare", "train", "convert", "evaluate", "gate", "publish")
# Values of the configuration, which the digests of the steps leave out, and the lock of the initial weights.
_FILES = ("training/config.py", "training/presets.py", "training/pipeline.yml", "package-lock.json")


@dataclass(frozen=True)
class Plan:
    """What a pipeline has to do."""

    action: str
    """TRAIN: train, publish and deploy; DEPLOY: deploy a published release; NOTHING."""
    reason: str
    """Why, as a sentence."""


def made_from(archive: list[Any]) -> str:
    """Return the digest of data, code and configuration of a training, in hex.

    A release states it. Two trainings with the same digest make the same release within the noise of the machine.

    Args:
        archive: what changes with the content of the archive of faces, for example its size and CRC32C.
    """
    code = {step: sources.digests(f"training.{step}") for step in _STEPS}
    files = {name: skipping.digest(_ROOT / name) for name in _FILES}
    return skipping.key({"archive": archive, "code": code, "files": files})


def plan(registry: Registry, service: CloudRunService | None, wanted: str, function: Path, *, by_hand: bool) -> Plan:
    """Compare the wanted state with the releases and the live revision.

    Args:
        registry: Registry of the releases.
        service: The service, or None if releases are only published.
        wanted: What `made_from` returns for this commit and its data, or "" if there are no data to train on.
        function: Folder of the function's source.
        by_hand: Whether a person asked for a training, which then takes place in any case.

    Raises:
        StepError: The registry or the service cannot be read.
    """
    if by_hand and wanted:
        return Plan(TRAIN, "a person started this pipeline")
    note = ""
    if wanted and not registry.made_from(wanted):
        refusal = registry.refusal(wanted)
        if not refusal:
            return Plan(TRAIN, "no release was made from this data, code and configuration")
        note = f"the gate refused what was made from this data, code and configuration ({refusal}); "
    found = _deployment(service, version_of(registry, wanted), function)
    return replace(found, reason=note + found.reason)


def version_of(registry: Registry, wanted: str) -> str:
    """Return the newest release that was made from the state `wanted`, else the one in production; "" without either.

    A release that a person rolled back stays away.
    """
    pointer = registry.production()
    found = registry.made_from(wanted) if wanted else None
    if found and not (pointer and found["version"] in pointer.withdrawn):
        return str(found["version"])
    return pointer.version if pointer else ""


def _deployment(service: CloudRunService | None, version: str, function: Path) -> Plan:
    if service is None:
        return Plan(NOTHING, "SERVICE is not set, so nothing is deployed")
    if not version:
        return Plan(NOTHING, "no release is in production")
    source, traffic = source_digest(function), service.traffic()
    live = service.revision(traffic.production)
    if serves(live, source, version):
        return Plan(NOTHING, f"{traffic.production} serves {version} with this function")
    if refused := traffic.tags.get(REFUSED):
        labels = service.revision(refused).labels
        unchanged = plain(version) in (labels.get(RELEASE), live.labels.get(RELEASE))
        if labels.get(SOURCE) == source and unchanged:
            return Plan(NOTHING, f"{refused}, which has this function, was sent back; change it, or deploy by hand")
    return Plan(DEPLOY, f"{traffic.production} does not serve {version} with this function")

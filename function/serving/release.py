"""MODEL_URI -> a verified release: the model's bytes and its manifest."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from serving import heads, manifest_v3, storage
from serving.heads import Labels
from serving.storage import StorageError

MANIFEST = "manifest.json"
# The layout of the manifest that this code writes and reads; format 3 is still read for one version.
FORMAT = 4
# Names and versions of releases: each is a folder's name, a part of an address and a part of a path.
IDENTIFIER = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
# A start that has not fetched its release by then ends; the platform then starts another copy.
MODEL_FETCH_TIMEOUT = 20


class ReleaseError(Exception):
    """The release cannot be served; the message says what was found and how to mend it."""


class AgeDecision(NamedTuple):
    """Which age is answered: the one with the least expected loss, |error| plus `miss_cost` beyond `near_years`."""

    # years; an answered age within so many counts as near
    near_years: int
    # years; what it costs not to be near
    miss_cost: float


class Calibration(NamedTuple):
    """What turns the network's outputs into answers that mean what they say, fitted on validation faces."""

    # years, rising: median answers at which the two levels below are given; between them they are interpolated
    age_at: tuple[float, ...]
    # levels of the answered age distribution between which the stated share of people lies
    age_low: tuple[float, ...]
    age_high: tuple[float, ...]
    # of each choice, the divisor of its logits: above 1 the network was too sure of itself
    temperatures: dict[str, float]
    decision: AgeDecision


class Release(NamedTuple):
    """One immutable release: everything that the function knows of the model."""

    name: str
    version: str
    # hex digest of the model file
    sha256: str
    # the TFLite file itself
    model: bytes
    # pixels, side of the square input
    size: int
    resize: str
    # of each choice
    labels: Labels
    calibration: Calibration
    # the whole manifest as it was published
    manifest: dict[str, Any]

    def identity(self) -> dict[str, str]:
        """What tells an answer's reader which model gave it."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


class Loading:
    """A release that is being fetched in the background, while the caller imports what will run it."""

    def __init__(self, uri: str, sha256: str, cache: str, seconds: float) -> None:
        """Begin.

        Args:
            uri: a folder, or gs://bucket/path.
            sha256: hex digest that the model file must have; "" trusts the manifest.
            cache: a folder that keeps models from cloud storage; "" keeps none.
            seconds: the whole fetch may take.
        """
        self._found: Release | Exception = ReleaseError(
            f"{uri} was not read within {seconds} s; see that storage answers, or raise MODEL_FETCH_TIMEOUT"
        )
        self._deadline = time.monotonic() + seconds
        arguments = (uri, sha256, cache, seconds)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def release(self) -> Release:
        """Wait for it, no longer than the deadline.

        Raises:
            ReleaseError: a file is missing or unreadable, the manifest is of another format, a digest does not match,
                or the time is over.
        """
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        found = self._found
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self, uri: str, sha256: str, cache: str, seconds: float) -> None:
        try:
            self._found = _load(uri, sha256, cache, seconds)
        except StorageError as error:
            self._found = ReleaseError(str(error))
        # Whatever it is, it is raised where somebody waits for the release.
        except Exception as error:
            self._found = error


def load(uri: str, sha256: str = "", cache: str = "", seconds: float = MODEL_FETCH_TIMEOUT) -> Release:
    """Fetch a release and check it; arguments and errors are those of `Loading`."""
    return Loading(uri, sha256, cache, seconds).release()


def _load(uri: str, sha256: str, cache: str, seconds: float) -> Release:
    read = storage.reader(uri, seconds)
    # Always from the storage: whoever may no longer read the release, or no longer finds it, does not serve it.
    manifest = _manifest(read(MANIFEST), uri)
    try:
        file, stated = _plain(manifest["model"]["file"]), _digest(manifest["model"]["sha256"])
        _check_pin(stated, sha256, uri)
        if cache and uri.startswith(storage.CLOUD):
            model = storage.Cache(Path(cache)).get(stated, lambda: read(file))
        else:
            model = read(file)
        release = _release(manifest, model)
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(f"{MANIFEST} of {uri} lacks or garbles {error}; publish the release again") from error
    if release.sha256 != stated:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {release.sha256}, its manifest says {stated}: "
            "it is damaged or was exchanged; publish the release again"
        )
    return release


def parse_manifest(data: bytes | str) -> Any:
    """The JSON of a manifest, one of format 3 as format 4.

    Raises:
        ValueError: it is no JSON.
    """
    manifest = json.loads(data)
    return manifest_v3.upgrade(manifest) if isinstance(manifest, dict) else manifest


def _manifest(data: bytes, uri: str) -> dict[str, Any]:
    try:
        manifest = parse_manifest(data)
    except ValueError as error:
        raise ReleaseError(f"{MANIFEST} of {uri} is not JSON; publish the release again") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise ReleaseError(
            f"{MANIFEST} of {uri} has format {found!r}, this function reads format {FORMAT}; "
            "deploy the function that belongs to the release, or publish the release again"
        )
    return dict(manifest)


def _release(manifest: dict[str, Any], model: bytes) -> Release:
    labels, calibration = heads.labels(manifest), manifest["calibration"]
    if unknown := sorted(manifest["heads"].keys() - set(heads.HEADS)):
        raise ReleaseError(
            f"release {manifest['version']} answers {', '.join(unknown)}, this function knows "
            f"{', '.join(heads.HEADS)}; deploy the function that belongs to the release"
        )
    return Release(
        name=_identifier(manifest, "name"),
        version=_identifier(manifest, "version"),
        sha256=storage.digest(model),
        model=model,
        size=int(manifest["input"]["size"]),
        resize=str(manifest["input"]["resize"]),
        labels=labels,
        calibration=Calibration(
            age_at=tuple(map(float, calibration["age"]["at"])),
            age_low=tuple(map(float, calibration["age"]["low"])),
            age_high=tuple(map(float, calibration["age"]["high"])),
            temperatures={head: float(calibration[head]["temperature"]) for head in labels},
            decision=AgeDecision(
                int(calibration["age_decision"]["near_years"]), float(calibration["age_decision"]["miss_cost"])
            ),
        ),
        manifest=manifest,
    )


def _check_pin(stated: str, pinned: str, uri: str) -> None:
    if pinned and stated != pinned:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {stated}, MODEL_SHA256 pins {pinned}; "
            "set MODEL_URI or MODEL_SHA256 to the release that is meant"
        )


def _plain(name: str) -> str:
    """The name of a file beside the manifest, which leads nowhere else."""
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ValueError(f"the file name {name!r}")
    return name


def _identifier(manifest: dict[str, Any], member: str) -> str:
    found = manifest[member]
    if not isinstance(found, str) or not re.fullmatch(IDENTIFIER, found):
        raise ValueError(f"the {member} {found!r}, which must match {IDENTIFIER}")
    return found


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"the digest {text!r}")
    return text

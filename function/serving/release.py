"""Load a release and verify it: the model's bytes and its manifest."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from serving import addresses, heads, storage
from serving.addresses import AddressError
from serving.heads import Labels
from serving.storage import Read, StorageError

DETECTOR = "detector"
"""Optional member of a manifest: the files of the detector that aligned the release's faces, by name and SHA-256."""
MANIFEST = "manifest.json"
# Format of the manifest that this code writes. It reads format 3, too, for one version.
FORMAT = 4
# Pattern of names and versions of releases: they become names of folders, parts of addresses and of URL paths.
IDENTIFIER = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
# seconds; a start that has not fetched its release by then ends, and the platform starts another copy
MODEL_FETCH_TIMEOUT = 20
# Bounds of a manifest: bytes, and levels of nested arrays and objects.
_MAX_BYTES, _MAX_DEPTH = 2**20, 20
# pixels; sides of the model's input that make sense
_SIZES = range(8, 1025)
# Temperatures beyond these make each probability 1 or all of them equal.
_TEMPERATURES = (0.01, 100.0)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ReleaseError(Exception):
    """The release cannot be served. The message says what was found and how to mend it."""


class Pins(NamedTuple):
    """Digests that a deployment demands of a release. An empty one demands nothing."""

    model: str = ""
    """SHA-256 of the model file in hex."""
    manifest: str = ""
    """SHA-256 of manifest.json in hex, which also fixes labels, calibration and the model's digest."""


class AgeDecision(NamedTuple):
    """Choice of the predicted age: the one with the least expected loss, |error| plus `miss_cost` for a miss."""

    near_years: int
    """Years; a prediction within so many years of the truth is no miss."""
    miss_cost: float
    """Years; the additional loss of a miss."""


class Calibration(NamedTuple):
    """Corrections of the network's outputs, fitted on validation images."""

    age_at: tuple[float, ...]
    """Years, rising: medians of the age distribution at which `age_low` and `age_high` are given.

    Levels between them are interpolated.
    """
    age_low: tuple[float, ...]
    """Levels of the age distribution at which the interval begins, 0 to 1."""
    age_high: tuple[float, ...]
    """Levels at which it ends, 0 to 1."""
    temperatures: dict[str, float]
    """Divisor of the logits by choice. Above 1, the network was overconfident."""
    decision: AgeDecision
    """Choice of the predicted age."""


class Release(NamedTuple):
    """One immutable release: everything that the function knows of the model."""

    name: str
    """Name of the model."""
    version: str
    """Version of the release."""
    sha256: str
    """SHA-256 of the model file in hex."""
    model: bytes
    """The TFLite file."""
    size: int
    """Pixels, side of the square input."""
    resize: str
    """Name of the rule that resizes images."""
    labels: Labels
    """Labels by choice, in the order of the outputs."""
    calibration: Calibration
    """Corrections of the outputs."""
    manifest: dict[str, Any]
    """The whole manifest, as format 4."""

    def identity(self) -> dict[str, str]:
        """Return the part of a response that identifies the model."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


class Loading:
    """A release that a background thread fetches while the caller imports what runs it."""

    def __init__(self, uri: str, pins: Pins, cache: str, seconds: float) -> None:
        """Begin to fetch.

        Args:
            uri: a folder, or gs://bucket/path.
            pins: digests that the release must have.
            cache: folder that keeps models from Cloud Storage, "" for none.
            seconds: the longest that the whole fetch may take.
        """
        self._found: Release | Exception = ReleaseError(
            f"{uri} was not read within {seconds} s; check that the storage responds, or raise MODEL_FETCH_TIMEOUT"
        )
        self._deadline = time.monotonic() + seconds
        arguments = (uri, pins, cache, seconds)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def release(self) -> Release:
        """Wait for the release until the deadline.

        Raises:
            ReleaseError: a file is missing or unreadable, the manifest is invalid or of another format, a digest does
                not match, or the time is over.
        """
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        found = self._found
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self, uri: str, pins: Pins, cache: str, seconds: float) -> None:
        try:
            address = addresses.parse(uri)
            kept = cache if address.bucket else ""
            self._found = assemble(storage.reader(address, seconds), f"{address}", pins, kept)
        except AddressError as error:
            self._found = ReleaseError(f"MODEL_URI: {error}")
        except StorageError as error:
            self._found = ReleaseError(str(error))
        # Any other exception is raised in the thread that waits for the release.
        except Exception as error:
            self._found = error


def load(uri: str, pins: Pins | None = None, cache: str = "", seconds: float = MODEL_FETCH_TIMEOUT) -> Release:
    """Fetch a release and verify it. Arguments and errors are those of `Loading`."""
    return Loading(uri, pins or Pins(), cache, seconds).release()


def assemble(read: Read, uri: str, pins: Pins | None = None, cache: str = "") -> Release:
    """Return the release whose files `read` returns, each read once.

    Args:
        read: name of a file -> its bytes.
        uri: address of the release, for messages.
        pins: digests that it must have.
        cache: folder that keeps models, "" for none.

    Raises:
        ReleaseError: the manifest is invalid or of another format, or a digest does not match.
        StorageError: from `read`.
    """
    pins = pins or Pins()
    # Always from the storage: without read permission, or after the release is gone, nothing is served.
    data = read(MANIFEST)
    if pins.manifest and storage.digest(data) != pins.manifest:
        raise ReleaseError(
            f"{MANIFEST} of {uri} has SHA-256 {storage.digest(data)}, MANIFEST_SHA256 pins {pins.manifest}; "
            "set MODEL_URI or MANIFEST_SHA256 to the release that you mean"
        )
    manifest = _manifest(data, uri)
    try:
        file, stated = _plain(manifest["model"]["file"]), _digest(manifest["model"]["sha256"])
        _check_pin(stated, pins.model, uri)
        model = storage.Cache(Path(cache)).get(stated, lambda: read(file)) if cache else read(file)
        release = _release(manifest, model)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ReleaseError(f"{MANIFEST} of {uri} lacks or garbles {error}; publish the release again") from error
    if release.sha256 != stated:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {release.sha256}, its manifest states {stated}: "
            "it is damaged or was exchanged; publish the release again"
        )
    return release


def parse_manifest(data: bytes | str) -> Any:
    """Return the JSON of a manifest, format 3 upgraded to format 4.

    Raises:
        ValueError: it is no JSON that a manifest may hold. See `parse_json`.
    """
    manifest = parse_json(data)
    if not isinstance(manifest, dict) or manifest.get("format") == FORMAT:
        return manifest
    # Imported here: the start of a usual release does not pay for it.
    from serving import manifest_v3

    try:
        return manifest_v3.upgrade(manifest)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"format {manifest_v3.FORMAT} lacks or garbles {error}") from error


def parse_json(data: bytes | str) -> Any:
    """Return the JSON of a file that somebody else wrote.

    Raises:
        ValueError: it is no JSON of at most 1 MiB and 20 levels, a member is there twice, a number is not finite, or a
            text has control characters or is not Unicode.
    """
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{len(data)} bytes, which are more than {_MAX_BYTES}")
    try:
        found = json.loads(data, object_pairs_hook=_unique)
        _require_plain(found, _MAX_DEPTH)
    except RecursionError as error:
        raise ValueError("values that are nested too deep") from error
    return found


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"the member {next(name for name in names if names.count(name) > 1)!r}, which is there twice")
    return found


def _require_plain(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("values that are nested too deep")
    if isinstance(value, str):
        value.encode()
        if _CONTROL.search(value):
            raise ValueError(f"the text {value[:40]!r}, which has control characters")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the number {value}")
    elif isinstance(value, dict):
        for name, member in value.items():
            _require_plain(name, depth)
            _require_plain(member, depth - 1)
    elif isinstance(value, list):
        for member in value:
            _require_plain(member, depth - 1)


def _manifest(data: bytes, uri: str) -> dict[str, Any]:
    try:
        manifest = parse_manifest(data)
    except ValueError as error:
        raise ReleaseError(f"{MANIFEST} of {uri} is not valid JSON ({error}); publish the release again") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise ReleaseError(
            f"{MANIFEST} of {uri} has format {found!r}, this function reads format {FORMAT}; "
            "deploy the function of the release's commit, or publish the release again"
        )
    return dict(manifest)


def _release(manifest: dict[str, Any], model: bytes) -> Release:
    labels = heads.labels(manifest)
    if unknown := sorted(manifest["heads"].keys() - set(heads.HEADS)):
        raise ReleaseError(
            f"release {manifest['version']} predicts {', '.join(unknown)}, this function knows "
            f"{', '.join(heads.HEADS)}; deploy the function of the release's commit"
        )
    return Release(
        name=identifier(manifest, "name"),
        version=identifier(manifest, "version"),
        sha256=storage.digest(model),
        model=model,
        size=_size(manifest["input"]["size"]),
        resize=str(manifest["input"]["resize"]),
        labels=labels,
        calibration=_calibration(manifest["calibration"], labels),
        manifest=manifest,
    )


def _calibration(stated: dict[str, Any], labels: Labels) -> Calibration:
    age, decision = stated[heads.AGE], stated["age_decision"]
    at, low, high = (tuple(map(float, age[name])) for name in ("at", "low", "high"))
    if not at or not len(at) == len(low) == len(high):
        raise ValueError(f"the calibration of age, whose lists have {len(at)}, {len(low)} and {len(high)} numbers")
    if list(at) != sorted(set(at)) or not all(0 <= first <= last <= 1 for first, last in zip(low, high, strict=True)):
        raise ValueError("the calibration of age, whose ages do not rise or whose levels are not 0 <= low <= high <= 1")
    temperatures = {head: float(stated[head]["temperature"]) for head in labels}
    if wrong := [
        head for head, temperature in temperatures.items() if not _TEMPERATURES[0] <= temperature <= _TEMPERATURES[1]
    ]:
        raise ValueError(f"the temperature of {wrong[0]}, {temperatures[wrong[0]]:g}")
    near, cost = int(decision["near_years"]), float(decision["miss_cost"])
    if near < 0 or not 0 <= cost < math.inf:
        raise ValueError(f"the age decision of {near} years at a cost of {cost:g}")
    return Calibration(at, low, high, temperatures, AgeDecision(near, cost))


def _size(stated: Any) -> int:
    if not isinstance(stated, int) or stated not in _SIZES:
        raise ValueError(f"the size {stated!r}, which is none from {_SIZES[0]} to {_SIZES[-1]} pixels")
    return stated


def _check_pin(stated: str, pinned: str, uri: str) -> None:
    if pinned and stated != pinned:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {stated}, MODEL_SHA256 pins {pinned}; "
            "set MODEL_URI or MODEL_SHA256 to the release that you mean"
        )


def _plain(name: str) -> str:
    """Return the name of a file in the release's own folder."""
    if not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
        raise ValueError(f"the file name {name!r}")
    return name


def identifier(manifest: dict[str, Any], member: str) -> str:
    """Return the name or the version that a manifest states.

    Raises:
        KeyError: it states none.
        ValueError: it does not match IDENTIFIER.
    """
    found = manifest[member]
    if not isinstance(found, str) or not re.fullmatch(IDENTIFIER, found):
        raise ValueError(f"the {member} {found!r}, which must match {IDENTIFIER}")
    return found


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"the digest {text!r}")
    return text

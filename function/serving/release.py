"""MODEL_URI -> a verified release: the model's bytes and its manifest, from a folder or from cloud storage."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from serving import likeness
from serving.likeness import Likeness

MANIFEST = "manifest.json"
# The only layout of the manifest that this code reads.
FORMAT = 3
# A start that cannot fetch its release ends after this long; the platform then starts another copy.
FETCH_DEADLINE = timedelta(seconds=20)


class ReleaseError(Exception):
    """The release cannot be served; the message says what was found and how to mend it."""


@dataclass(frozen=True)
class Calibration:
    """What turns the network's outputs into answers that mean what they say, fitted on validation faces."""

    # years, rising: median answers at which the two levels below are given; between them they are interpolated
    age_at: tuple[float, ...]
    # levels of the answered age distribution between which the stated share of people lies
    age_low: tuple[float, ...]
    age_high: tuple[float, ...]
    # divisors of the logits: above 1 the network was too sure of itself
    gender_temperature: float
    ethnicity_temperature: float


@dataclass(frozen=True)
class Release:
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
    # classes in the order of the outputs
    genders: tuple[str, ...]
    ethnicities: tuple[str, ...]
    calibration: Calibration
    # numpy arrays cannot be compared at once; the manifest holds the same numbers
    likeness: Likeness = field(compare=False)
    # the whole manifest as it was published
    manifest: dict[str, Any]


def load(uri: str, sha256: str = "") -> Release:
    """Fetch a release and check it.

    Args:
        uri: a folder, or gs://bucket/path.
        sha256: hex digest that the model file must have; "" trusts the manifest.

    Raises:
        ReleaseError: a file is missing or unreadable, the manifest is of another format, or a digest does not match.
    """
    read = _cloud_reader(uri) if uri.startswith("gs://") else _folder_reader(uri)
    manifest = _manifest(read(MANIFEST), uri)
    try:
        model = read(manifest["model"]["file"])
        release = _release(manifest, model)
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(f"{MANIFEST} of {uri} lacks or garbles {error}; publish the release again") from error
    _verify(release, manifest["model"]["sha256"], sha256, uri)
    return release


def _manifest(data: bytes, uri: str) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
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
    calibration = manifest["calibration"]
    return Release(
        name=str(manifest["name"]),
        version=str(manifest["version"]),
        sha256=hashlib.sha256(model).hexdigest(),
        model=model,
        size=int(manifest["input"]["size"]),
        resize=str(manifest["input"]["resize"]),
        genders=tuple(manifest["heads"]["gender"]["labels"]),
        ethnicities=tuple(manifest["heads"]["ethnicity"]["labels"]),
        calibration=Calibration(
            age_at=tuple(map(float, calibration["age"]["at"])),
            age_low=tuple(map(float, calibration["age"]["low"])),
            age_high=tuple(map(float, calibration["age"]["high"])),
            gender_temperature=float(calibration["gender"]["temperature"]),
            ethnicity_temperature=float(calibration["ethnicity"]["temperature"]),
        ),
        likeness=likeness.parse(manifest["likeness"]),
        manifest=manifest,
    )


def _verify(release: Release, stated: str, pinned: str, uri: str) -> None:
    if release.sha256 != stated:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {release.sha256}, its manifest says {stated}: "
            "it is damaged or was exchanged; publish the release again"
        )
    if pinned and release.sha256 != pinned:
        raise ReleaseError(
            f"the model of {uri} has SHA-256 {release.sha256}, MODEL_SHA256 pins {pinned}; "
            "set MODEL_URI or MODEL_SHA256 to the release that is meant"
        )


def _folder_reader(uri: str) -> Callable[[str], bytes]:
    folder = Path(uri)

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise ReleaseError(
                f"cannot read {folder / name}: {error.strerror}; MODEL_URI must name a release"
            ) from error

    return read


def _cloud_reader(uri: str) -> Callable[[str], bytes]:
    # Imported here because a local release needs none of it.
    from obstore.exceptions import BaseError
    from obstore.store import GCSStore

    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options: dict[str, Any] = {"base_url": emulator, "skip_signature": True} if emulator else {}
    try:
        store = GCSStore(
            bucket,
            prefix=prefix,
            client_options={"timeout": FETCH_DEADLINE, "connect_timeout": "5s", "allow_http": bool(emulator)},
            # Resets, stalls, 429 and 5xx are tried again, ever more slowly.
            retry_config={"max_retries": 6, "retry_timeout": FETCH_DEADLINE},
            **options,
        )
    except BaseError as error:
        raise ReleaseError(f"cannot reach {uri}: {_first_line(error)}; check its name and the credentials") from error

    def read(name: str) -> bytes:
        try:
            return bytes(store.get(name).bytes())
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise ReleaseError(
                f"cannot read {uri}/{name}: {_first_line(error)}; check MODEL_URI and that the runtime may read it"
            ) from error

    return read


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"

"""The detector's files by digest, as `GET /model` and a manifest's member `release.DETECTOR` state them."""

from __future__ import annotations

from typing import Any

from serving.detection.detectors import FILES
from serving.release import DETECTOR, Release, ReleaseError


def section() -> dict[str, Any]:
    """Return the member: the SHA-256 of each file of this function's detector, by name."""
    return {"files": {file.name: file.sha256 for file in FILES}}


def check(release: Release) -> None:
    """Compare the detector that a release's manifest states with this function's.

    Raises:
        ReleaseError: they differ. A release is only valid for faces that its own detector aligned.
    """
    stated, own = release.manifest[DETECTOR], section()
    if stated != own:
        raise ReleaseError(
            f"release {release.version} was made with the detector {_shown(stated)}, this function has {_shown(own)}; "
            "deploy the function of the release's commit, or train the release again"
        )


def _shown(stated: Any) -> str:
    """Return a section in few words: the first digits of each digest."""
    try:
        return ", ".join(f"{name} {digest[:8]}" for name, digest in sorted(stated["files"].items()))
    except (AttributeError, KeyError, TypeError):
        return f"{stated!r:.60}"

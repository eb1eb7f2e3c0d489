"""The detector's files by digest, as `GET /model` and a release's manifest state them."""

from __future__ import annotations

from typing import Any

from serving.detection.detectors import FILES
from serving.release import Release, ReleaseError

SECTION = "detector"
"""Member of a manifest. It is optional: releases without it are served, too."""


def section() -> dict[str, Any]:
    """Return the member SECTION: the SHA-256 of each file of this function's detector, by name."""
    return {"files": {file.name: file.sha256 for file in FILES}}


def check(release: Release) -> None:
    """Compare the detector that a release's manifest states with this function's.

    Raises:
        ReleaseError: they differ. A release predicts faces that its own detector aligned.
    """
    if SECTION not in release.manifest:
        return
    stated, own = release.manifest[SECTION], section()
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

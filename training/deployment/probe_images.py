"""Test images for a candidate: drawn faces, or real faces from a folder."""

from __future__ import annotations

from pathlib import Path

from training.errors import StepError
from training.faces import draw, labels


def drawn(count: int) -> list[bytes]:
    """Return encoded faces of all ages and genders. The result is deterministic."""
    return [draw(*labels(number), seed=number) for number in range(count)]


def real(folder: Path, count: int) -> list[bytes]:
    """Return encoded faces of a folder, evenly spaced in the order of file names.

    Raises:
        StepError: The folder contains no images.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not found:
        raise StepError(f"{folder} contains no images")
    return [path.read_bytes() for path in found[:: max(1, len(found) // count)][:count]]

"""Self-test of a model at the start: its outputs for one known image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serving import heads
from serving.heads import AGE
from serving.release import MANIFEST, Release, ReleaseError

if TYPE_CHECKING:
    from serving.images import Pixels

MEMBER = "self_test"
# Largest difference of an output: another processor rounds differently. An undamaged model stays far below.
TOLERANCE = 0.05
# decimals of the outputs in a manifest
_DECIMALS = 5

Outputs = dict[str, npt.NDArray[np.float32]]


def image(size: int) -> Pixels:
    """Return the known image, (1, size, size, 3) uint8: two gradients and rings, by integers alone."""
    line = np.arange(size, dtype=np.int32)
    gradient, squares = line * 255 // size, line * line
    pixels = np.empty((1, size, size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = gradient[:, None], gradient
    pixels[..., 2] = (squares[:, None] + squares) // size % 256
    return pixels


def record(outputs: Outputs) -> dict[str, list[float]]:
    """Return the outputs for the known image, each (1, width), as the manifest stores them."""
    return {head: np.round(values[0].astype(np.float64), _DECIMALS).tolist() for head, values in outputs.items()}


def check(outputs: Outputs, release: Release) -> None:
    """Check the outputs for the known image, each (1, width).

    Raises:
        ReleaseError: they are not finite, of another shape than the manifest states, or differ from its outputs.
    """
    for head in (AGE, *release.labels):
        width = _width(head, release)
        found = outputs[head]
        if found.shape != (1, width) and (width or found.ndim != 2 or found.shape[1] < 2):
            raise _refusal(release, f"returns {found.shape[1:]} numbers for {head}, its {MANIFEST} states {width}")
        if not np.isfinite(found).all():
            raise _refusal(release, f"returns numbers for {head} that are not finite")
    expected = release.manifest.get(MEMBER)
    if expected is not None:
        _compare(outputs, expected, release)


def _width(head: str, release: Release) -> int:
    """Return how many numbers a head has, 0 if the manifest does not state it."""
    if head != AGE:
        return heads.width(release.labels[head])
    stated = release.manifest.get("heads", {}).get(AGE)
    classes = stated.get("classes", 0) if isinstance(stated, dict) else 0
    return classes if isinstance(classes, int) else -1


def _compare(outputs: Outputs, expected: Any, release: Release) -> None:
    for head in (AGE, *release.labels):
        try:
            stated = np.asarray(expected[head], np.float64)
            if stated.shape != outputs[head][0].shape:
                raise ValueError(f"{stated.shape} numbers")
            difference = float(np.abs(outputs[head][0] - stated).max())
        except (KeyError, TypeError, ValueError) as error:
            raise _refusal(release, f"has a {MANIFEST} whose {MEMBER} lacks or garbles {head}") from error
        if not difference <= TOLERANCE:
            raise _refusal(
                release, f"differs by {difference:.3f} on {head} from the outputs in its {MANIFEST} for a known image"
            )


def _refusal(release: Release, found: str) -> ReleaseError:
    return ReleaseError(f"the model of release {release.version} {found}: it is damaged; publish the release again")

"""Checks of what a training reads.

They run before TensorFlow is imported, so that a wrong address is refused within a second.
"""

from __future__ import annotations

from pathlib import Path

from training.config import TrainConfig
from training.data import shards
from training.errors import StepError
from training.learning import faceres, imagenet, teacher, weights
from training.registry.signing import Trust


def require(data: Path, config: TrainConfig, trust: Trust | None = None) -> None:
    """Check that the prepared faces, the initial weights and the teachers are there.

    Args:
        data: output of `prepare`.
        config: configuration of the training.
        trust: whose signatures count for the releases, or None for any and none.

    Raises:
        StepError: one of them is missing, damaged, not trusted, or has other heads; or no face has an age.
    """
    size = shards.fingerprint(data).size
    shards.learned(data)
    if config.init_from == "imagenet":
        imagenet.find()
    elif config.init_from == "faceres":
        faceres.read()
    elif config.init_from:
        weights.find(config.init_from, config.architecture, size, trust)
    teacher.load(config.teachers, trust)
    if config.other:
        other = shards.fingerprint(Path(config.other))
        shards.shards(Path(config.other), "validation")
        if other.size != size:
            raise StepError(
                f"the other faces in {config.other} were prepared at {other.size} pixels, the faces at {size}; "
                "prepare both at one size (--size)"
            )
        shards.learned(Path(config.other))

"""Checks of what a training reads.

They run before TensorFlow is imported, so that a wrong address is refused within a second.
"""

from __future__ import annotations

from pathlib import Path

from training.config import TrainConfig
from training.data import shards
from training.learning import faceres, imagenet, teacher, weights


def require(data: Path, config: TrainConfig) -> None:
    """Check that the prepared faces, the initial weights and the teachers are there.

    Raises:
        StepError: one of them is missing, damaged, or has other heads.
    """
    shards.fingerprint(data)
    shards.shards(data, "train")
    if config.init_from == "imagenet":
        imagenet.find()
    elif config.init_from == "faceres":
        faceres.read()
    elif config.init_from:
        weights.read(config.init_from)
    teacher.load(config.teachers)

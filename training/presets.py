"""Presets: named configurations of training, each with the thresholds of its gate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from training.config import BUNDLED, Augmentation, GateConfig, PrepareConfig, TrainConfig

# Thresholds for a smoke test or a baseline network, which almost every model meets.
_ANYTHING = GateConfig(
    age_mae=25.0,
    age_within_5=0.0,
    gender_accuracy=0.4,
    gender_accuracy_from_13=0.4,
    ethnicity_accuracy=0.15,
    coverage_error=1.0,
    band_coverage=0.0,
    calibration_error=1.0,
    subgroup_gap=1.0,
    false_positive_rate=1.0,
    max_bytes=4_000_000,
)


@dataclass(frozen=True)
class Preset:
    """A named configuration of training, and the thresholds of its gate."""

    train: TrainConfig
    """How to train."""
    gate: GateConfig
    """Thresholds for the release."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    """How to prepare the faces."""


# Photographs of phones and webcams: heads that are turned, detectors that cut differently, small, noisy and compressed
# faces.
_PHOTOGRAPHS = Augmentation(
    rotation=25.0,
    scale=0.2,
    light=0.25,
    tint=0.12,
    blur=0.25,
    erase=0.3,
    stretch=0.12,
    perspective=0.15,
    coarse=0.25,
    noise=0.04,
    jpeg=0.25,
)

# These networks halve their input four times. They resolve wrinkles in aligned faces of 128 pixels, and more at 160.
_FACES_OF_160 = PrepareConfig(size=160)
_FACES_OF_128 = PrepareConfig(size=128)

# Names of presets in former versions, with today's name.
RENAMED = {"seed": "baseline"}

PRESETS = {
    # The configuration of the bundled release, which also had a teacher. docs/explanation/model.md shows the effect of
    # each number.
    "default": Preset(
        TrainConfig(
            architecture="mobilenet_9",
            epochs=22,
            learning_rate=5e-4,
            warmup=0.5,
            patience=10,
            init_from="faceres",
            frozen_blocks=3,
            teacher_share=0.6,
            augmentation=_PHOTOGRAPHS,
        ),
        GateConfig(),
        _FACES_OF_160,
    ),
    # From the bundled release to the user's few hundred faces in minutes. Only the branches learn. The gate has no
    # thresholds: what other faces allow says nothing about these. docs/how-to/fine-tune.md has the measurements.
    "finetune": Preset(
        TrainConfig(
            architecture="mobilenet_9",
            epochs=8,
            batch=128,
            learning_rate=2e-3,
            init_from=BUNDLED,
            frozen_blocks=9,
        ),
        _ANYTHING,
        _FACES_OF_160,
    ),
    # Too large to serve. `default` is distilled from it.
    "teacher": Preset(
        TrainConfig(
            architecture="mobilenet_13",
            epochs=9,
            learning_rate=4e-4,
            warmup=0.5,
            init_from="faceres",
            frozen_blocks=4,
        ),
        replace(_ANYTHING, max_bytes=16_000_000),
        _FACES_OF_128,
    ),
    # For projects that cannot accept the terms of `default`'s initial weights. --init-from "" starts from random ones.
    "imagenet": Preset(
        TrainConfig(
            architecture="efficientnet_lite",
            epochs=14,
            learning_rate=6e-4,
            patience=14,
            init_from="imagenet",
            frozen_blocks=3,
        ),
        replace(_ANYTHING, age_mae=5.2, gender_accuracy=0.92, ethnicity_accuracy=0.84),
        _FACES_OF_128,
    ),
    # The network of the original project, as a baseline.
    "baseline": Preset(
        TrainConfig(
            architecture="three_blocks",
            epochs=20,
            optimizer="adam",
            learning_rate=1e-4,
            age_sigma=0.05,
            gender_weight=1.0,
            augmentation=None,
        ),
        replace(_ANYTHING, age_mae=14.0, gender_accuracy=0.6, ethnicity_accuracy=0.5),
    ),
    # A smoke test: the whole pipeline in seconds, without a useful model. Few faces are repeated: after a few steps,
    # predictions are chance and do not meet even these thresholds.
    "smoke": Preset(
        TrainConfig(
            architecture="small",
            epochs=2,
            batch=32,
            learning_rate=2e-3,
            warmup=0.1,
            max_steps=60,
            min_steps=60,
        ),
        _ANYTHING,
    ),
}

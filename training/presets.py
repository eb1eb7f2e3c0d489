"""The named ways to train, and what their results must reach."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from training.config import GateConfig, PrepareConfig, TrainConfig

# What a training that proves the way, or a network of the past, can be asked for.
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
    """A named way to train, and what its result must reach."""

    train: TrainConfig
    gate: GateConfig
    prepare: PrepareConfig = field(default_factory=PrepareConfig)


# A network that halves its input four times sees a wrinkle in aligned faces of 128 pixels, and more of them at 160.
_TAUGHT = PrepareConfig(size=160)
_TEACHING = PrepareConfig(size=128)

# presets of former versions -> what they are called now
RENAMED = {"seed": "baseline"}

PRESETS = {
    # The reason to choose this project. docs/explanation/model.md states the effect of each number and the recipe of
    # the bundled release.
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
        ),
        GateConfig(),
        _TAUGHT,
    ),
    # Too large to serve: its answers teach `default`.
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
        _TEACHING,
    ),
    # For those whom the terms of `default`'s initial weights do not suit; with --init-from "" from random ones.
    "imagenet": Preset(
        TrainConfig(architecture="efficientnet_lite", epochs=18, init_from="imagenet"),
        replace(_ANYTHING, age_mae=5.2, gender_accuracy=0.92, ethnicity_accuracy=0.84),
    ),
    # The network of the original project, kept as the line to beat.
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
    # The real code in seconds: it proves the way, not the model.
    "smoke": Preset(
        TrainConfig(architecture="small", epochs=2, batch=32, learning_rate=2e-3, warmup=0.1, max_steps=60),
        _ANYTHING,
    ),
}

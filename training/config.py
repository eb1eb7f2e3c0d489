"""The numbers of every step, in one frozen dataclass a step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from training.errors import StepError

# Initial weights with a name of their own; every other value of `init_from` is a release's address.
NAMED_WEIGHTS = ("faceres", "imagenet")
# Address of the release in function/model.
BUNDLED = "bundled"
# Functions of training/learning/architectures.py. `train` checks these names before it imports TensorFlow.
ARCHITECTURES = ("efficientnet_lite", "mobilenet_9", "mobilenet_13", "three_blocks", "small")
OPTIMIZERS = ("adamw", "adam")
# What `prepare --align` does with a photograph of several faces: rejects it, or takes the largest.
ONLY_FACE, LARGEST_FACE = "only", "largest"
FACES = (ONLY_FACE, LARGEST_FACE)

_KINDS = {int: "an integer", float: "a number", str: "text"}
# Values of TrainConfig that must be above 0. No number may be negative.
_POSITIVE = {"epochs", "batch", "learning_rate", "age_sigma", "patience"}


@dataclass(frozen=True)
class PrepareConfig:
    """Configuration of `prepare`."""

    size: int = 96
    """Side of the square faces in the shards, in pixels. The model's input has the same size."""
    validation: float = 0.1
    """Share of the groups of near-duplicates in the validation split."""
    test: float = 0.1
    """Share of the groups of near-duplicates in the test split."""
    near_duplicate: float = 0.98
    """Pearson correlation of two 16x16 grey thumbnails above which two faces are near-duplicates."""
    shard_faces: int = 512
    """Faces in one shard."""
    align: bool = False
    """Whether to find and align the face of each photograph, as `POST /detect` does."""
    faces: str = ONLY_FACE
    """One of FACES. It counts only with `align`."""
    min_face_side: int = 20
    """Side of the aligned crop, in pixels of the photograph, below which `align` rejects a face."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training face. Zero turns a change off."""

    rotation: float = 15.0
    """Largest rotation in degrees, in both directions."""
    shift: float = 0.08
    """Largest shift as a share of the side, in both directions."""
    scale: float = 0.12
    """Largest change of scale as a share, in both directions."""
    light: float = 0.2
    """Largest change of brightness, as a share of the full range, and of contrast, as a factor."""
    tint: float = 0.1
    """Largest change of each color channel, as a factor."""
    blur: float = 0.2
    """Probability of a blur, which imitates a cheap camera."""
    erase: float = 0.25
    """Probability that a rectangle becomes grey."""
    stretch: float = 0.0
    """Largest shear, and largest change of the ratio of width to height, as a share."""
    perspective: float = 0.0
    """Largest change of scale from the middle to an edge, as a share: a head that is turned."""
    coarse: float = 0.0
    """Probability of a lower resolution, down to a fifth of the side: a small face."""
    noise: float = 0.0
    """Largest standard deviation of the noise of a sensor, as a share of the full range."""
    jpeg: float = 0.0
    """Probability of a JPEG compression with a quality from 15 to 75."""


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of `train`."""

    architecture: str
    """One of ARCHITECTURES."""
    epochs: int
    """Largest number of passes over the training faces."""
    batch: int = 64
    """Faces in a step, over all devices."""
    optimizer: str = "adamw"
    """One of OPTIMIZERS: adamw with a warm-up and a cosine decay to zero, or adam with an inverse time decay."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.02
    """Decoupled weight decay of AdamW."""
    warmup: float = 1.0
    """Epochs of linear warm-up."""
    age_sigma: float = 2.0
    """Standard deviation of the soft age labels in years. A value far below 1 gives one-hot labels."""
    age_weight: float = 1.0
    """Weight of the age loss."""
    gender_weight: float = 2.0
    """Weight of the gender loss."""
    ethnicity_weight: float = 1.0
    """Weight of the ethnicity loss."""
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    """Augmentation of the training faces, or None."""
    patience: int = 6
    """Epochs without better validation metrics after which training stops."""
    init_from: str = ""
    """Initial weights: "" for random ones, one of NAMED_WEIGHTS, BUNDLED, or folder or gs:// address of a release."""
    initial_share: float = 0.0
    """Share of the initial weights in the network that a training from a release ends with, from 0 to 1.

    A mean of initial and trained weights keeps more of what the release knows (WiSE-FT, Wortsman et al. 2022,
    arXiv:2109.01903). With other faces, `max_forgetting` decides instead.
    """
    frozen_blocks: int = 0
    """Blocks of the trunk that keep their initial weights, counted from the input. The stem freezes with the first."""
    teachers: tuple[str, ...] = ()
    """Folders or gs:// addresses of the releases to distill from."""
    teacher_share: float = 0.5
    """Weight of the teachers' mean predictions in the targets, from 0 to 1. The labels have the rest."""
    other: str = ""
    """Output of `prepare` with other faces, which a fine-tuned network must not forget, or ""."""
    other_share: float = 0.94
    """Share of the other faces in a batch. An epoch remains one pass over the user's own faces."""
    other_teacher_share: float = 0.5
    """Weight of the initial release's predictions in the targets of the other faces. The labels have the rest."""
    max_forgetting: float = 0.06
    """Years by which the age error may rise on other validation faces of ages that are rare among the own faces.

    The weights move back towards the initial ones until it holds.
    """
    max_steps: int = 0
    """Largest number of steps in an epoch. 0 means the whole training split."""
    min_steps: int = 0
    """Smallest number of steps in an epoch, unless `max_steps` is smaller. An epoch of few faces repeats them."""
    seed: int = 1
    """Seed of the initial weights, of the order of faces and of the augmentation."""

    @property
    def own_batch(self) -> int:
        """Return the number of the user's own faces in a step, at least one."""
        return max(1, round(self.batch * (1 - self.other_share))) if self.other else self.batch

    @property
    def starts_from_release(self) -> bool:
        """Return whether the initial weights are those of a release."""
        return self.init_from not in ("", *NAMED_WEIGHTS)

    @property
    def ends_between(self) -> bool:
        """Return whether the training ends with weights between the initial and the last ones."""
        return bool(self.other or self.initial_share)

    def weight(self, head: str) -> float:
        """Return the weight of a head's loss."""
        return float(getattr(self, f"{head}_weight"))


def with_values(config: TrainConfig, assignments: list[str]) -> TrainConfig:
    """Return `config` with other values.

    Args:
        config: the configuration to change.
        assignments: `name=value` each.

    Raises:
        StepError: a name is unknown, or a value has another type or is out of range.
    """
    kinds = {name: type(value) for name, value in vars(config).items() if isinstance(value, int | float | str)}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise StepError(f"cannot set {name!r}; choose one of {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            raise StepError(f"{name} must be {_KINDS[kinds[name]]}, got {text!r}") from error
    changed = replace(config, **values)
    require_usable(changed)
    return changed


def require_usable(config: TrainConfig) -> None:
    """Check names and ranges.

    Raises:
        StepError: there is no such architecture or optimizer, a number is out of range, or an option needs a release.
    """
    if config.architecture not in ARCHITECTURES:
        raise StepError(f"no architecture {config.architecture!r}; choose one of {', '.join(ARCHITECTURES)}")
    if config.optimizer not in OPTIMIZERS:
        raise StepError(f"no optimizer {config.optimizer!r}; choose one of {', '.join(OPTIMIZERS)}")
    for name, value in vars(config).items():
        if not isinstance(value, int | float):
            continue
        if not math.isfinite(value) or value < 0 or (value == 0 and name in _POSITIVE):
            raise StepError(f"{name} must be {'above' if name in _POSITIVE else 'at least'} 0, got {value}")
    for name in ("initial_share", "teacher_share", "other_share", "other_teacher_share"):
        if getattr(config, name) > 1:
            raise StepError(f"{name} must be at most 1, got {getattr(config, name)}")
    _require_release(config)


def _require_release(config: TrainConfig) -> None:
    """Check the options that keep what the release with the initial weights knows."""
    for option, given in (("--other", config.other), ("initial_share", config.initial_share)):
        if given and not config.starts_from_release:
            raise StepError(f"{option} keeps what a release knows, so it needs --init-from with a release")
    if config.other and config.initial_share:
        raise StepError("initial_share does not apply with --other, where max_forgetting decides; use one of them")


@dataclass(frozen=True)
class InputCheckConfig:
    """Configuration of the input check, which warns of images that are no face."""

    faces: int = 20_000
    """Largest number of training faces."""
    others: int = 3
    """Counterexamples made from each face."""
    false_positive_rate: float = 0.003
    """Share of validation faces with a warning. On other faces the share was 1.5 times as high."""
    low_contrast_share: float = 0.5
    """Contrast below which an image has low contrast, as a share of the lowest contrast among the training faces."""
    min_side: int = 32
    """Shorter side in pixels below which an image gets a warning.

    On the bundled release's test faces the age error is 5.5 instead of 4.4 years at 32 pixels.
    """
    max_aspect_ratio: float = 2.0
    """Longer side over shorter side from which an image gets a warning.

    The age error is 5.9 instead of 4.4 years at 2, and 5.1 years at 1.75.
    """
    units: int = 32
    """Units of the hidden layer."""
    noise: float = 0.1
    """Standard deviation of the noise on the thumbnails, whose own standard deviation is 1."""
    dropout: float = 0.1
    """Share of units that a step drops."""
    epochs: int = 15
    """Passes over the examples."""
    batch: int = 256
    """Thumbnails in a step."""
    learning_rate: float = 2e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-3
    """Decoupled weight decay of AdamW."""
    seed: int = 1
    """Seed of the counterexamples and of the initial weights."""


@dataclass(frozen=True)
class ConvertConfig:
    """Configuration of `convert`."""

    epoch: int = 0
    """Epoch to convert (from 1), one of the last two. 0 means the best.

    Try another one where int8 costs the best epoch more than is allowed.
    """
    mirror: bool = True
    """Whether the file predicts the mean over a face and its mirror image: more accurate, at twice the work."""
    validation_faces: int = 5000
    """Largest number of validation faces for comparison and calibration."""
    calibration_faces: int = 300
    """Training faces from which the converter takes the ranges of int8 activations."""
    max_age_loss: float = 0.05
    """Years by which the mean absolute error of a smaller file may exceed the Keras model's."""
    max_accuracy_loss: float = 0.003
    """Share of faces by which the accuracy of a choice may fall below the Keras model's."""
    max_age_disagreement: float = 0.01
    """Largest difference in years between a float32 prediction and the Keras model's."""
    max_probability_disagreement: float = 0.001
    """Largest difference in probability between a float32 prediction and the Keras model's."""
    interval_coverage: float = 0.8
    """Share of validation faces whose age the predicted interval contains."""
    near_years: int = 5
    """Largest error in years with which a predicted age counts as near.

    `near_years` and `miss_cost` were chosen on validation faces: 0.5 % more of them come near, at the same mean error.
    """
    miss_cost: float = 2.0
    """Cost of an age that is not near, in years of error."""
    input_check: InputCheckConfig = field(default_factory=InputCheckConfig)
    """Configuration of the input check."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Configuration of `evaluate`, which scores the challenger and compares it with the champion."""

    bootstrap: int = 1000
    """Resamples of the bootstrap."""
    paired_bootstrap: int = 20_000
    """Resamples of the comparison of two releases. The outermost few decide about a group, so many are needed."""
    confidence: float = 0.95
    """Confidence level of the bootstrap intervals."""
    seed: int = 1
    """Seed of the resamples."""


@dataclass(frozen=True)
class GateConfig:
    """Thresholds for the metrics of a release on the test split."""

    age_mae: float = 4.5
    """Largest mean absolute error of the age in years."""
    age_within_5: float = 0.7
    """Smallest share of faces with an age error of at most five years."""
    gender_accuracy: float = 0.945
    """Smallest gender accuracy."""
    gender_accuracy_from_13: float = 0.968
    """Smallest gender accuracy among faces of 13 years and older."""
    ethnicity_accuracy: float = 0.88
    """Smallest ethnicity accuracy."""
    coverage_error: float = 0.02
    """Largest difference between the measured and the nominal coverage of the age intervals."""
    band_coverage: float = 0.75
    """Smallest coverage of the age intervals in an age band with enough faces."""
    calibration_error: float = 0.03
    """Largest expected calibration error of the probabilities of a choice."""
    subgroup_gap: float = 0.05
    """Largest gap between the gender accuracy of a gender and ethnicity, from 13 years, and the mean."""
    false_positive_rate: float = 0.01
    """Largest share of test faces with the warning that they are no face."""
    max_bytes: int = 1_500_000
    """Largest size of the model file in bytes."""
    false_overall: float = 0.05
    """Probability that the gate rejects an equally good challenger over all faces, in any metric."""
    false_in_groups: float = 0.05
    """Probability that the gate rejects an equally good challenger in any metric of any group with enough faces."""

    def accuracy(self, head: str) -> float | None:
        """Return the smallest accuracy of a choice, or None where there is no threshold."""
        return getattr(self, f"{head}_accuracy", None)


@dataclass(frozen=True)
class DriftConfig:
    """Thresholds for drift between predictions in production and a reference."""

    psi: float = 0.2
    """Population stability index above which a measure has drifted, after its correction for chance.

    Values from 0.1 to 0.25 are usual.
    """
    significance: float = 0.001
    """Probability by chance alone below which an index counts."""
    independent: int = 100
    """Smallest number of requests or test faces in a sample. Images of one request often resemble each other."""


@dataclass(frozen=True)
class FeedbackConfig:
    """When live faces with true labels show that a release got worse than on its test faces."""

    years: float = 1.0
    """Smallest worsening of the age MAE that counts, in years."""
    share: float = 0.05
    """Smallest worsening of an accuracy or a calibration that counts."""
    coverage: float = 0.1
    """Smallest change of the coverage of the age interval that counts."""
    false_alarms: float = 0.01
    """Probability that anything counts as worse although nothing is."""
    power: float = 0.8
    """Probability with which a worsening of the smallest size that counts should be found."""
    requests: int = 50
    """Smallest number of requests with labels that are judged. Faces of one request often resemble each other."""
    confidence: float = 0.95
    """Confidence level of the intervals."""

"""Every number a step can be run with: one frozen dataclass a step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from training.errors import StepError

# initial weights that are no release's
NAMED_WEIGHTS = ("faceres", "imagenet")


@dataclass(frozen=True)
class PrepareConfig:
    """Faces -> shards."""

    # pixels; side of the square faces that the shards hold and the model sees
    size: int = 96
    # share of the groups of faces
    validation: float = 0.1
    # share of the groups of faces
    test: float = 0.1
    # Pearson correlation of two 16x16 grey thumbnails above which two faces count as the same image
    near_duplicate: float = 0.98
    # faces a shard
    shard_faces: int = 512


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training face; zero switches one off."""

    # degrees, either way
    rotation: float = 15.0
    # share of the side, either way
    shift: float = 0.08
    # share, either way
    scale: float = 0.12
    # share of the full range of brightness, and factor of contrast, either way
    light: float = 0.2
    # factor of each colour, either way
    tint: float = 0.1
    # probability that detail is lost, as a cheap camera loses it
    blur: float = 0.2
    # probability that a rectangle is greyed out
    erase: float = 0.25


@dataclass(frozen=True)
class TrainConfig:
    """Shards -> a Keras model."""

    # a function of training/learning/architectures.py
    architecture: str
    # passes over the training faces, at most
    epochs: int
    # faces a step, over all devices
    batch: int = 64
    # "adamw" (warm-up, then a cosine to zero) or "adam" (inverse time decay)
    optimizer: str = "adamw"
    # learning rate at its highest
    learning_rate: float = 1e-3
    # AdamW's decoupled decay
    weight_decay: float = 0.02
    # epochs of linear warm-up
    warmup: float = 1.0
    # years; standard deviation of the soft age labels, far below 1 for one-hot ones
    age_sigma: float = 2.0
    # weights of the losses, `<head>_weight` each
    age_weight: float = 1.0
    gender_weight: float = 2.0
    ethnicity_weight: float = 1.0
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    # epochs without better validation metrics before training stops
    patience: int = 6
    # "" for random weights, one of NAMED_WEIGHTS if the architecture has them, or a release's folder or gs:// address
    init_from: str = ""
    # blocks of the trunk that keep their initial weights, counted from its front; the stem goes with the first
    frozen_blocks: int = 0
    # folders or gs:// addresses of releases whose mean answers are learnt beside the labels
    teachers: tuple[str, ...] = ()
    # weight of the teachers' answers against that of the labels, 0 to 1
    teacher_share: float = 0.5
    # steps an epoch, at most; 0 for the whole training split
    max_steps: int = 0
    seed: int = 1

    def weight(self, head: str) -> float:
        """Of the loss of a head."""
        return float(getattr(self, f"{head}_weight"))


def with_values(config: TrainConfig, assignments: list[str]) -> TrainConfig:
    """`config` with the numbers and names of `assignments`, each `name=value`.

    Raises:
        StepError: there is no such name, or the value is of another kind.
    """
    kinds = {name: type(value) for name, value in vars(config).items() if isinstance(value, int | float | str)}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise StepError(f"cannot set {name!r}; there are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            raise StepError(f"cannot set {name} to {text!r}; it is of the kind {kinds[name].__name__}") from error
    return replace(config, **values)


@dataclass(frozen=True)
class InputCheckConfig:
    """Training faces -> what warns of images that are no face."""

    # training faces to learn from, at most
    faces: int = 20_000
    # images that are no face, made of each
    others: int = 3
    # share of validation faces that are warned of all the same; among other faces it was half as much again
    false_positive_rate: float = 0.003
    # contrast below which an image is of low contrast, as a share of the lowest among the training faces
    low_contrast_share: float = 0.5
    # pixels, the shorter side of an image below which is warned; on the bundled release's test faces the age error is
    # 5.5 instead of 4.4 years at 32
    min_side: int = 32
    # longer side over shorter side, from which is warned; the error is 5.9 instead of 4.4 years at 2, 5.1 at 1.75
    max_aspect_ratio: float = 2.0
    # units of the hidden layer
    units: int = 32
    # standard deviation of what is added to the thumbnails, whose own is 1
    noise: float = 0.1
    # share of the units that are left out of a step
    dropout: float = 0.1
    epochs: int = 15
    # thumbnails a step
    batch: int = 256
    # AdamW's learning rate and decoupled decay
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    seed: int = 1


@dataclass(frozen=True)
class ConvertConfig:
    """A Keras model -> TFLite."""

    # epoch (from 1) whose network is converted, one of the last two; 0 for the best: worth a look where int8 costs that
    # one more than is allowed
    epoch: int = 0
    # whether the file answers the mean over a face and its mirror image: better, and twice the work
    mirror: bool = True
    # validation faces that candidates are compared and calibrated on, at most
    validation_faces: int = 5000
    # training faces that int8 activations are ranged on
    calibration_faces: int = 300
    # years; how much worse the mean absolute error of a smaller file may be than the Keras model's
    max_age_loss: float = 0.05
    # share of faces; how much worse the accuracy of any choice may be
    max_accuracy_loss: float = 0.003
    # years; how far a float32 answer may lie from the Keras model's before the conversion counts as broken
    max_age_disagreement: float = 0.01
    # probability; the same for every choice
    max_probability_disagreement: float = 0.001
    # share of validation faces that the answered age interval is calibrated to cover
    interval_coverage: float = 0.8
    # years; within so many an answered age counts as near, and what it costs not to be. Chosen on validation faces:
    # half a percent more of them come near, and the mean error stays as it is
    near_years: int = 5
    miss_cost: float = 2.0
    input_check: InputCheckConfig = field(default_factory=InputCheckConfig)


@dataclass(frozen=True)
class EvaluateConfig:
    """A challenger, the release that would replace the champion -> metrics."""

    # resamples of the bootstrap
    bootstrap: int = 1000
    # the same where two releases are compared: many, for a group is judged by the outermost few of them
    paired_bootstrap: int = 20_000
    # share between the ends of a bootstrap interval
    confidence: float = 0.95
    seed: int = 1


@dataclass(frozen=True)
class GateConfig:
    """The least that a release must reach on the test split."""

    # years, mean absolute error, at most
    age_mae: float = 4.5
    # share of faces within five years, at least
    age_within_5: float = 0.7
    # share of faces, at least
    gender_accuracy: float = 0.945
    # share of faces of 13 and older, at least
    gender_accuracy_from_13: float = 0.968
    # share of faces, at least
    ethnicity_accuracy: float = 0.88
    # how far the share of ages inside their interval may lie from the stated one, either way
    coverage_error: float = 0.02
    # share of ages inside their interval in any age band with enough faces, at least
    band_coverage: float = 0.75
    # expected calibration error of the probabilities of any choice, at most
    calibration_error: float = 0.03
    # share by which gender accuracy may fall short of the mean in any gender and ethnicity, 13 and older
    subgroup_gap: float = 0.05
    # share of test faces that are warned of as if they were none, at most
    false_positive_rate: float = 0.01
    # bytes of the model file, at most
    max_bytes: int = 1_500_000
    # probability that a challenger as good as the champion is called worse over all faces, in any of the metrics
    false_overall: float = 0.05
    # probability that it is called worse in any metric of any group with enough faces
    false_in_groups: float = 0.05

    def accuracy(self, head: str) -> float | None:
        """What `<head>_accuracy` asks of a choice; None where nothing is asked."""
        return getattr(self, f"{head}_accuracy", None)


@dataclass(frozen=True)
class DriftConfig:
    """Served answers -> have they drifted?"""

    # population stability index, after its correction for chance, above which a measure has drifted; 0.1 to 0.25 are
    # usual
    psi: float = 0.2
    # probability of such an index by chance alone, below which it is believed
    significance: float = 0.001
    # requests (images of one often resemble each other) or test faces in either sample, below which nothing is said
    independent: int = 100

"""What missing labels and ranges of ages teach, and that complete labels teach what they always did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from training.config import TrainConfig
from training.labels import AGE_CLASSES, CHOICES, COLUMNS, MAX_AGE, MISSING
from training.learning import losses
from training.learning.dataset import targets
from training.learning.loop import _means
from training.learning.teacher import PREDICTION_COLUMNS
from training.runs import selection_metric

CONFIG = TrainConfig("small", epochs=1, augmentation=None)
WIDTHS = {"age": AGE_CLASSES, **{head.name: head.width for head in CHOICES}}

Rows = list[tuple[int, ...]]
EXACT: Rows = [(31, 0, 0, 31), (0, 1, 4, 0), (116, 1, 2, 116)]


def logits(count: int) -> dict[str, tf.Variable]:
    random = np.random.default_rng(0)
    return {head: tf.Variable(random.normal(0, 1, (count, width)).astype(np.float32)) for head, width in WIDTHS.items()}


def probabilities(found: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {head: tf.sigmoid(rows) if rows.shape[1] == 1 else tf.nn.softmax(rows) for head, rows in found.items()}


def learned(rows: Rows, config: TrainConfig = CONFIG, taught: npt.NDArray[np.float32] | None = None) -> tuple[Any, Any]:
    """The metrics of faces with these labels, and the gradient of the loss at each head's logits."""
    found = logits(len(rows))
    with tf.GradientTape() as tape:
        metrics = losses.metrics(targets(np.array(rows, np.uint8), config, taught), probabilities(found), config)
        loss = tf.reduce_sum(metrics["loss"])
    gradients = tape.gradient(loss, found)
    return metrics, {head: gradient.numpy() for head, gradient in gradients.items()}


def predictions(count: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(1)
    parts = [
        random.dirichlet(np.ones(width), count) if width > 1 else random.random((count, 1)) for width in WIDTHS.values()
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


@pytest.mark.parametrize("teacher", [False, True])
def test_complete_labels_teach_bit_for_bit_what_they_did_before_labels_could_be_missing(teacher: bool) -> None:
    taught = predictions(len(EXACT)) if teacher else None
    _, gradients = learned(EXACT, CONFIG, taught)
    ages, gender, ethnicity, _ = (tf.constant(column) for column in np.array(EXACT, np.int32).T)
    years = tf.range(AGE_CLASSES, dtype=tf.float32)[None, :]
    wanted = {
        "age": tf.nn.softmax(-tf.square(years - tf.cast(ages, tf.float32)[:, None]) / (2 * CONFIG.age_sigma**2)),
        "gender": tf.cast(gender, tf.float32)[:, None],
        "ethnicity": tf.one_hot(ethnicity, 5),
    }
    if taught is not None:
        parts = dict(zip(wanted, tf.split(taught, list(WIDTHS.values()), axis=1), strict=True))
        share = CONFIG.teacher_share
        wanted = {name: (1 - share) * head + share * parts[name] for name, head in wanted.items()}
    found = logits(len(EXACT))
    with tf.GradientTape() as tape:
        each = probabilities(found)
        former = {
            "age": keras.losses.categorical_crossentropy(wanted["age"], each["age"]),
            "gender": keras.losses.binary_crossentropy(wanted["gender"], each["gender"]),
            "ethnicity": keras.losses.categorical_crossentropy(wanted["ethnicity"], each["ethnicity"]),
        }
        loss = tf.reduce_sum(sum(CONFIG.weight(head) * former[head] for head in COLUMNS))
    for head, gradient in tape.gradient(loss, found).items():
        assert np.array_equal(gradients[head], gradient.numpy()), head


@pytest.mark.parametrize("column", range(len(COLUMNS)))
def test_a_missing_label_adds_nothing_and_the_other_heads_learn_as_before(column: int) -> None:
    row = list(EXACT[0])
    row[column] = MISSING
    if column == 0:
        row[-1] = MISSING
    metrics, gradients = learned([tuple(row), EXACT[1]])
    complete, wanted = learned([EXACT[0], EXACT[1]])
    head = COLUMNS[column]
    assert metrics[f"{head}_loss"].numpy()[0] == 0
    assert not gradients[head][0].any()
    for other in COLUMNS:
        assert np.array_equal(gradients[other][1], wanted[other][1])
        if other != head:
            assert np.array_equal(gradients[other], wanted[other])
            assert metrics[f"{other}_loss"].numpy() == pytest.approx(complete[f"{other}_loss"].numpy())


@pytest.mark.parametrize(("low", "high"), [(20, 29), (70, MAX_AGE), (0, 2), (0, MAX_AGE)])
def test_a_range_adds_the_logarithm_of_the_probability_inside_it(low: int, high: int) -> None:
    metrics, gradients = learned([(low, 0, 0, high), EXACT[0]])
    inside = probabilities(logits(2))["age"].numpy()[0, low : high + 1].sum()
    assert metrics["age_loss"].numpy()[0] == pytest.approx(-np.log(inside), abs=1e-5)
    # Within the range it prefers no age: each probability grows by the same factor.
    assert np.sign(gradients["age"][0, low : high + 1]).tolist() == [-1] * (high - low + 1) or (low, high) == (
        0,
        MAX_AGE,
    )
    assert (gradients["age"][0, :low] >= 0).all()
    assert (gradients["age"][0, high + 1 :] >= 0).all()
    assert np.array_equal(gradients["age"][1], learned([EXACT[0]] * 2)[1]["age"][1])


def test_a_range_without_probability_still_teaches() -> None:
    with tf.GradientTape() as tape:
        found = tf.Variable([[0.0] * 100 + [-60.0] * 17])
        each = {**probabilities(logits(1)), "age": tf.nn.softmax(found)}
        loss = losses.metrics(targets(np.array([(100, 0, 0, 116)], np.uint8), CONFIG), each, CONFIG)["age_loss"]
    assert np.isfinite(loss.numpy()).all()
    assert np.isfinite(tape.gradient(loss, found).numpy()).all()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_teacher_keeps_its_share_where_the_label_is_missing_or_a_range(share: float) -> None:
    config, taught = replace(CONFIG, teacher_share=share), predictions(2)
    rows: Rows = [(MISSING, MISSING, MISSING, MISSING), (20, 0, 0, 29)]
    metrics, _ = learned(rows, config, taught)
    each, parts = probabilities(logits(2)), np.split(taught, np.cumsum(list(WIDTHS.values()))[:-1], axis=1)
    for (head, width), part in zip(WIDTHS.items(), parts, strict=True):
        loss = keras.losses.binary_crossentropy if width == 1 else keras.losses.categorical_crossentropy
        wanted = share * loss(tf.constant(part), each[head]).numpy()
        assert metrics[f"{head}_loss"].numpy()[0] == pytest.approx(wanted[0], rel=1e-5)
        if head == "age":
            inside = each["age"].numpy()[1, 20:30].sum()
            assert metrics["age_loss"].numpy()[1] == pytest.approx(wanted[1] - (1 - share) * np.log(inside), rel=1e-5)
    assert predictions(1).shape == (1, PREDICTION_COLUMNS)


def test_the_metrics_of_an_epoch_are_means_over_the_faces_with_the_label() -> None:
    rows: Rows = [(31, 0, MISSING, 31), (20, MISSING, MISSING, 29), (MISSING, 1, MISSING, MISSING)]
    found = targets(np.array(rows, np.uint8), CONFIG)
    median = np.full((3, AGE_CLASSES), 0.0, np.float32)
    median[:, 35] = 1
    each = {"age": tf.constant(median), "gender": tf.constant([[0.1], [0.1], [0.1]]), "ethnicity": tf.fill((3, 5), 0.2)}
    metrics, counts = losses.metrics(found, each, CONFIG), losses.counts(found)
    sums = {name: tf.reduce_sum(values) for name, values in metrics.items()}
    means = _means([sums | {f"faces of {name}": tf.reduce_sum(values) for name, values in counts.items()}])
    assert means["age_error"] == pytest.approx((4 + 6) / 2)
    assert means["gender_accuracy"] == pytest.approx(1 / 2)
    assert np.isnan(means["ethnicity_accuracy"])


def test_the_best_epoch_is_chosen_by_the_heads_that_have_labels() -> None:
    row = {"val_age_error": 6.0, "val_gender_accuracy": 0.9, "val_ethnicity_accuracy": float("nan")}
    assert selection_metric(row) == pytest.approx(6 + 20 * 0.1)

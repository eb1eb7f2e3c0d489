"""A training that ends between the initial weights and its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import SHORT
from training.config import TrainConfig, require_usable
from training.data import shards
from training.errors import StepError
from training.learning import architectures, checkpoints
from training.train import train


@pytest.fixture(scope="module")
def config(challenger: Path) -> TrainConfig:
    return replace(SHORT, epochs=2, max_steps=3, batch=20, init_from=str(challenger), initial_share=0.25)


def test_the_best_model_has_the_share_of_the_initial_weights_also_after_a_break(
    data: Path, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    train(data, folder, config, "smoke", resume=False)
    faces, _ = shards.first(data, "train", 20)
    initial = architectures.build(config, shards.fingerprint(data).size, None, faces).get_weights()
    last = checkpoints.model_after(folder, config.epochs).get_weights()
    wanted = [0.25 * before + 0.75 * after for before, after in zip(initial, last, strict=True)]
    assert max(np.abs(before - after).max() for before, after in zip(initial, last, strict=True)) > 1e-3
    for found, each in zip(checkpoints.best_model(folder).get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, each, atol=1e-5)
    assert "with 25% of the initial weights: validation age error" in capsys.readouterr().out
    (folder / checkpoints.BEST).unlink()
    train(data, folder, config, "smoke", resume=True)
    for found, each in zip(checkpoints.best_model(folder).get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, each, atol=1e-5)


def test_a_share_that_means_nothing_is_refused(config: TrainConfig) -> None:
    for odd, said in (
        (replace(config, init_from="faceres"), "initial_share keeps what a release knows, so it needs --init-from"),
        (replace(config, other="faces"), "initial_share does not apply with --other, where max_forgetting decides"),
        (replace(config, initial_share=1.5), "initial_share must be at most 1, got 1.5"),
    ):
        with pytest.raises(StepError, match=said):
            require_usable(odd)

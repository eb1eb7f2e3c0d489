"""A preset's numbers can be set one by one."""

from __future__ import annotations

import pytest

from training.config import with_values
from training.errors import StepError
from training.presets import PRESETS

CONFIG = PRESETS["default"].train


def test_values_take_the_kind_of_what_they_replace() -> None:
    found = with_values(CONFIG, ["epochs=3", "learning_rate=1e-4", "optimizer=adam"])
    assert (found.epochs, found.learning_rate, found.optimizer) == (3, 1e-4, "adam")
    assert found.batch == CONFIG.batch


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("epoch=3", "choose one of architecture, epochs"),
        ("epochs=3.5", "epochs must be an integer, got '3.5'"),
        ("epochs", "epochs must be an integer, got ''"),
        ("learning_rate=fast", "learning_rate must be a number, got 'fast'"),
        ("epochs=0", "epochs must be above 0, got 0"),
        ("max_steps=-1", "max_steps must be at least 0, got -1"),
        ("weight_decay=inf", "weight_decay must be at least 0, got inf"),
        ("teacher_share=1.5", "teacher_share must be at most 1, got 1.5"),
        ("optimizer=sgd", "no optimizer 'sgd'; choose one of adamw, adam"),
    ],
)
def test_what_cannot_be_set_is_named(assignment: str, said: str) -> None:
    with pytest.raises(StepError, match=said):
        with_values(CONFIG, [assignment])

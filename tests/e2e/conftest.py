"""A sequence of pushes to one project. Each fixture is one pipeline, based on the previous one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.stage import Stage, stage
from tests.gitlab import Pipeline, require_runner

_CHOICES = "training/pipeline.yml"
_ENTRY = "function/main.py"
_BREAK = '\nraise RuntimeError("it does not start")\n'
_PREDICTIONS = "function/serving/inference.py"
_FIRST_LINE = '        """Predict one aligned face of `count` in the request."""\n'
# More predictions than a verification requests, fewer than verification and canary together.
_WEAR = """        self.answered = getattr(self, "answered", 0) + 1
        if self.answered > 45:
            raise RuntimeError("worn out")
"""


@dataclass(frozen=True)
class After:
    """State of the project after a pipeline."""

    pipeline: Pipeline
    prediction: dict[str, Any]
    traffic: dict[str, int]
    production: str

    @property
    def revision(self) -> str:
        """Revision with all traffic."""
        (revision,) = self.traffic
        return revision


@pytest.fixture(scope="session")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """GitLab, buckets and Cloud Run without a deployment."""
    require_runner()
    with stage(tmp_path_factory.mktemp("e2e")) as running:
        yield running


@pytest.fixture(scope="session")
def first(delivery: Stage) -> After:
    """The first release."""
    return _after(delivery, "Train", {_CHOICES: _options(delivery, "--set epochs=6")})


@pytest.fixture(scope="session")
def retrained(delivery: Stage, first: After) -> After:
    """A push that improves the model: a longer training, which begins with the first release in the registry."""
    weights = f"{delivery.gitlab.variables['REGISTRY']}/{first.production}"
    return _after(delivery, "Train longer", {_CHOICES: _options(delivery, f"--set epochs=12 --init-from {weights}")})


@pytest.fixture(scope="session")
def redeployed(delivery: Stage, retrained: After) -> After:
    """A push that changes the function only, whose pipeline is cancelled, and one that changes a document."""
    page = "function/serving/page/docs.css"
    delivery.gitlab.push("Change the page", {page: _text(delivery, page) + "\n/* bluer */\n"})
    return _after(delivery, "Change a document", {"README.md": _text(delivery, "README.md") + "\nBluer.\n"})


@pytest.fixture(scope="session")
def documented(delivery: Stage, redeployed: After) -> After:
    """A push of a document after a delivery that is complete."""
    return _after(delivery, "Change it again", {"README.md": _text(delivery, "README.md") + "\nGreener.\n"})


@pytest.fixture(scope="session")
def worsened(delivery: Stage, documented: After) -> After:
    """A push that trains a worse model, with one step."""
    return _after(
        delivery, "Train shorter", {_CHOICES: _options(delivery, "--set epochs=1 --set max_steps=1")}, passes=False
    )


@pytest.fixture(scope="session")
def unstartable(delivery: Stage, worsened: After) -> After:
    """A push after which the function does not start."""
    return _after(delivery, "Break the start", {_ENTRY: _text(delivery, _ENTRY) + _BREAK}, passes=False)


@pytest.fixture(scope="session")
def wearing(delivery: Stage, unstartable: After) -> After:
    """A push after which the function passes the verification and fails later."""
    mended = _text(delivery, _ENTRY).removesuffix(_BREAK)
    whole = _text(delivery, _PREDICTIONS)
    assert whole.count(_FIRST_LINE) == 1
    worn = whole.replace(_FIRST_LINE, _FIRST_LINE + _WEAR)
    return _after(delivery, "Wear out", {_ENTRY: mended, _PREDICTIONS: worn}, passes=False)


@pytest.fixture(scope="session")
def rolled_back(delivery: Stage, wearing: After) -> After:
    """A run of the job `rollback`."""
    return _state(delivery, delivery.gitlab.pipeline("rollback"), passes=True)


def _after(delivery: Stage, message: str, files: dict[str, str | bytes], *, passes: bool = True) -> After:
    """Push, and run `plan` with the child pipelines."""
    delivery.gitlab.push(message, files)
    return _state(delivery, delivery.gitlab.delivery(), passes=passes)


def _state(delivery: Stage, pipeline: Pipeline, *, passes: bool) -> After:
    assert pipeline.passed == passes, pipeline.output
    return After(pipeline, delivery.live(), delivery.traffic(), delivery.production())


def _text(delivery: Stage, path: str) -> str:
    return (delivery.gitlab.clone / path).read_text()


def _options(delivery: Stage, options: str) -> str:
    """Return training/pipeline.yml with other options of `train`."""
    return re.sub(r'(TRAIN_ARGS:\n    value: )".*"', rf'\1"{options}"', _text(delivery, _CHOICES))

"""Merge request pipelines: a training on drawn faces, compared with the default branch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.stage import tools
from tests.gitlab import project, require_runner

pytestmark = pytest.mark.slow

_PRESETS = "training/presets.py"


def test_merge_request_compares_its_model_with_the_default_branch(tmp_path: Path) -> None:
    require_runner()
    gitlab = project(tmp_path)
    gitlab.environment = tools(tmp_path)
    baseline = gitlab.pipeline("smoke-baseline", CI_PIPELINE_SOURCE="push")
    assert baseline.passed, baseline.output
    others, smoke, numbers = (gitlab.clone / _PRESETS).read_text().partition('"smoke": Preset(')
    assert numbers.count("learning_rate=2e-3") == 1
    slower = numbers.replace("learning_rate=2e-3", "learning_rate=1e-6")
    gitlab.push("Learn slower", {_PRESETS: others + smoke + slower})
    proposed = gitlab.pipeline("smoke", "smoke-gate", branch=None)
    # The gate only warns.
    assert proposed.passed, proposed.output
    assert "gate failed" in proposed.logs["smoke-gate"]
    comparison = gitlab.artifact("smoke-gate", "build/smoke/comparison.md").read_text()
    version = baseline.logs["smoke-baseline"].partition("release: build/smoke-registry/")[2].partition("\n")[0]
    assert f"release {version}, the champion" in comparison
    assert "Worse, which fails the gate: " in comparison
    report = gitlab.artifact("smoke-gate", "build/smoke/release/report.html").read_text()
    assert f"{version}" in report

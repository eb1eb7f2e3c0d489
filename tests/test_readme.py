"""README.md: its length, its example and its metrics."""

from __future__ import annotations

import json
import re

from tests import screenshots
from tests.conftest import FUNCTION, ROOT
from tests.server import serve
from training.evaluation import tables

README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "docs" / "example.jpg"


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_example_is_a_small_drawing() -> None:
    assert EXAMPLE.read_bytes() == screenshots.documented_example()
    assert EXAMPLE.stat().st_size < 30_000


def test_function_responds_to_the_example_as_readme_says() -> None:
    (shown,) = re.findall(r"^```json\n(.+?)```$", README, re.MULTILINE | re.DOTALL)
    with serve(FUNCTION) as server:
        assert server.post(EXAMPLE.read_bytes()).json() == json.loads(shown)


def test_readme_states_the_metrics_of_the_bundled_release() -> None:
    measured = json.loads((FUNCTION / "model" / "metrics.json").read_text())
    overall = {row.title: row for row in tables.beside_baseline(measured)}
    older = {row.title: row for row in tables.beside_baseline(measured, "from_13_years")}
    rows = [
        overall["age MAE"],
        overall["age within 5 years"],
        overall["gender accuracy"],
        older["gender accuracy"],
        overall["ethnicity accuracy"],
    ]
    bundled = [f"**{row.value.removesuffix(' years')}** ({row.interval})" for row in rows]
    baseline = [row.baseline.removesuffix(" years") for row in rows]
    assert f"| **bundled release** | {' | '.join(bundled)} |\n" in README
    assert f"| the median age and the most frequent label for every face | {' | '.join(baseline)} |\n" in README

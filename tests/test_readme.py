"""README.md: its length, its example and its metrics."""

from __future__ import annotations

import json
import re

from tests import screenshots
from tests.conftest import FUNCTION, ROOT
from tests.server import serve

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
    metrics = json.loads((FUNCTION / "model" / "metrics.json").read_text())
    overall, older = metrics["overall"], metrics["from_13_years"]
    # The four decimals of metrics.json, rounded again, would make 88.6 % of 1,732 in 1,956.
    correct = sum(row[index] for index, row in enumerate(metrics["confusion"]["ethnicity"]))
    ethnicity = overall["ethnicity_accuracy"] | {"value": correct / metrics["faces"]}
    shares = (overall["age_within_5"], overall["gender_accuracy"], older["gender_accuracy"], ethnicity)
    expected = [
        "**{value:.2f}** ({low:.2f} to {high:.2f})".format_map(overall["age_mae"]),
        *(f"**{100 * s['value']:.1f} %** ({100 * s['low']:.1f} to {100 * s['high']:.1f})" for s in shares),
    ]
    (row,) = re.findall(r"^\| \*\*bundled release\*\* \| (.+) \|$", README, re.MULTILINE)
    assert row.split(" | ") == expected

"""Metrics as people read them: units, intervals, and nothing about a handful of faces."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.release import MANIFEST, parse_manifest
from training.evaluation import metrics, plots, summary, tables
from training.evaluation.age_groups import AGE_GROUPS, FROM_13
from training.evaluation.card import render_card
from training.evaluation.comparison import Comparison
from training.evaluation.metric_table import AT_AGES, MEASURED, SPECS, spec
from training.templating import _code

BUNDLED = Path("function/model")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return metrics.load(BUNDLED)


# from R: prop.test(x, n, correct=FALSE)
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (50, 100, 0.4038, 0.5962),
        (0, 20, 0.0, 0.1611),
        (20, 20, 0.8389, 1.0),
        (1, 1, 0.2065, 1.0),
        (97, 100, 0.9155, 0.9897),
    ],
)
def test_a_wilson_interval_is_that_of_the_textbook(right: int, n: int, low: float, high: float) -> None:
    assert tables.wilson(right / n, n, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_a_group_whose_faces_are_all_right_is_not_certain(measured: dict[str, Any]) -> None:
    row = {name: {"value": 1.0, "low": 1.0, "high": 1.0} for name in MEASURED}
    (shown,) = tables.rows(measured, [{"gender": "male", "n": 20, **row}], ["gender"])
    assert shown.cells[list(MEASURED).index("gender_accuracy")] == ("100.0 %", "83.9 to 100.0")


def test_groups_of_fewer_than_20_faces_have_no_metrics(measured: dict[str, Any]) -> None:
    rows = tables.rows(measured, measured["by_all"], ["gender", "ethnicity", "age_band"])
    assert {bool(row.cells) for row in rows if row.n >= 20} == {True}
    small = [row for row in rows if row.n < 20]
    assert small
    assert not any(row.cells for row in small)
    adults = [row for row in measured["by_gender_and_ethnicity_from_13_years"] if row["n"] < 20]
    report = (BUNDLED / "report.html").read_text()
    assert report.count(f">{escape(tables.TOO_FEW)}</td>") == len(small) + len(adults)


def test_the_card_says_nothing_of_a_small_group(measured: dict[str, Any]) -> None:
    few = [row | {"n": 19} if row["gender"] == "male" else row for row in measured["by_gender"]]
    card = render_card(parse_manifest((BUNDLED / MANIFEST).read_text()), measured | {"by_gender": few})
    (line,) = [line for line in card.splitlines() if line.startswith("| male |")]
    assert line.split(" | ") == ["| male", "19", *[tables.TOO_FEW] * len(MEASURED), ""]


def test_groups_of_ages_are_in_report_card_and_comment(challenger: Path) -> None:
    report = (challenger / "report.html").read_text()
    assert [title for title in re.findall("<h3>(.+)</h3>", report) if title[0] not in "CE"] == [
        "13 and older",
        "21 to 60",
        "40 and older",
        "Below 13",
    ]
    comment = challenger.with_name("comparison.md").read_text()
    assert all(f"| {metric.title} | " in comment for metric in AT_AGES.values())
    card = render_card(parse_manifest((challenger / MANIFEST).read_text()), metrics.load(challenger))
    titles = [line.split(" | ")[0].removeprefix("| ") for line in card.splitlines() if line.startswith("| ")]
    assert {group.title for group in AGE_GROUPS} | {f"baseline, {group.title}" for group in AGE_GROUPS} <= set(titles)


def test_metrics_of_earlier_versions_have_13_and_older_alone(measured: dict[str, Any], tmp_path: Path) -> None:
    older = measured.keys() - {group.key for group in AGE_GROUPS if group is not FROM_13}
    earlier = {name: value for name, value in measured.items() if name in older}
    manifest = parse_manifest((BUNDLED / MANIFEST).read_text())
    card = render_card(manifest, earlier)
    assert "| baseline, 13 and older | " in card
    assert "21 to 60" not in card
    names = {gauge.name for gauge in summary.gauges(earlier, 1)}
    assert {name for name in names if re.search("from|below", name)} == {"gender_accuracy_from_13_years_ratio"}
    summary.write(tmp_path / "release", earlier, Comparison(""))
    comment = (tmp_path / "comparison.md").read_text()
    assert "| gender accuracy, 13 and older | " in comment
    assert "below 13" not in comment


def test_a_share_is_rounded_once(measured: dict[str, Any]) -> None:
    # 1732 of 1956 are 88.548 %, and metrics.json has 0.8855.
    share = {"value": 0.8855, "low": 0.87, "high": 0.9, "n": 1956}
    overall = measured["overall"] | {"n": 1956, "ethnicity_accuracy": share}
    rows = {row.title: row.value for row in tables.beside_baseline({**measured, "overall": overall})}
    assert rows["ethnicity accuracy"] == "88.5 %"
    # 882 of 927 are 95.146 %, and metrics.json has 0.9515.
    women = measured["by_gender"][1] | {"gender_accuracy": share | {"value": 0.9515, "n": 927}}
    (female,) = tables.rows(measured, [women], ["gender"])
    assert female.cells[list(MEASURED).index("gender_accuracy")].value == "95.1 %"


@pytest.mark.parametrize(
    ("name", "value", "text", "difference"),
    [
        ("age_mae", 4.4008, "4.40 years", "+4.40 years"),
        ("gender_accuracy", 0.956, "95.6 %", "+95.6 points"),
        ("worst_subgroup_gap", 0.014, "1.4 points", "+1.4 points"),
        ("bytes", 1467048, "1,467,048 bytes", "+1,467,048 bytes"),
        ("fair_comparison", 0, "0", "+0"),
        ("age_mae", None, "none", ""),
        ("a metric of a later version", 3, "3", "+3"),
    ],
)
def test_each_metric_is_printed_with_its_unit(name: str, value: float | None, text: str, difference: str) -> None:
    assert spec(name).text(value) == text
    assert value is None or spec(name).difference(value) == difference


def test_titles_are_unique() -> None:
    assert (
        len({each.title for each in SPECS.values()}) == len({each.gauge_name for each in SPECS.values()}) == len(SPECS)
    )


class _Page(HTMLParser):
    """What a reader of a page relies on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        self.images += [values["alt"]] if tag == "img" else []


@pytest.mark.parametrize("name", ["release/report.html", "release-report-with-faces.html"])
def test_the_contents_list_of_the_report_leads_to_every_section(name: str, challenger: Path) -> None:
    page = _Page((challenger.parent / name).read_text())
    assert [link.removeprefix("#") for link in page.links] == page.ids
    assert {"summary", "gate", "overall", "plots", "by-gender"} <= set(page.ids)
    plots = [alt for alt in page.images if alt]
    assert len(plots) == len(set(plots)) == 9


def test_plots_leave_out_what_few_faces_say() -> None:
    probabilities, right = np.repeat([0.95, 0.55], [20, 19]), np.ones(39, np.bool_)
    (axes,) = plots.reliability(probabilities, right, "Gender").axes
    (dots,) = axes.collections
    assert np.asarray(dots.get_offsets()) == pytest.approx(np.array([[0.95, 1.0]]))
    (axes,) = plots.confusion([[18, 1], [10, 10]], ("male", "female"), "Gender").axes
    assert [text.get_text() for text in axes.texts] == ["18", "1", "50%\n10", "50%\n10"]


def test_commands_in_backticks_become_code_and_nothing_else_becomes_markup() -> None:
    assert _code("run `evaluate <x>`, <b>now</b>") == "run <code>evaluate &lt;x&gt;</code>, &lt;b&gt;now&lt;/b&gt;"

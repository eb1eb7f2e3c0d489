"""The page of `summarize --html`: complete, without other files, and safe with any text from the answers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from age_gender.__main__ import main
from serving import release
from tests.conftest import FUNCTION

BUNDLED = release.load(str(FUNCTION / "model"))
HOSTILE = '<img src=x onerror="alert(1)">'


def answer(number: int, **columns: Any) -> dict[str, Any]:
    years = 20 + number % 40
    male = number % 3 > 0
    return {
        "file": f"{number}.jpg",
        "age": {"years": years, "low": years - 4, "high": years + 4},
        "gender": {"label": "male" if male else "female", "probability": 0.95},
        "probabilities": {"age": [years, 10_000], "gender": [9_500, 500] if male else [500, 9_500]},
        "release": BUNDLED.version,
        **columns,
    }


def written(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def page(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["summarize", *arguments, "--html"]) == 0
    return capsys.readouterr().out


class Elements(HTMLParser):
    """Open elements, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "link", "path", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_has_pyramid_figures_and_caveats_and_needs_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = answer(3, warnings=[{"code": "not_a_face", "detail": ""}])
    text = page(capsys, written(tmp_path, *map(answer, range(60)), warned))
    elements = Elements(text)
    assert elements.open == []
    assert not [name for name, value in elements.attributes if name in ("src", "href") and value != "data:,"]
    assert "<script" not in text
    for part in ("Demographics of 60 faces", BUNDLED.version, "Age pyramid", "counted twice", "warning not_a_face"):
        assert part in text
    # A bar and a dashed one for each of five bands and two genders.
    assert len(re.findall("<rect ", text)) == 20


def test_figures_are_those_of_the_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, *map(answer, range(60)))
    text = page(capsys, file)
    assert main(["summarize", file, "--csv"]) == 0
    rows = re.findall(r"<tr><td>(.+?)</td><td>(.+?) (?:%|years)</td><td>(.+?) to (.+?)</td><td>(.+?) (?:%|years)", text)
    for row, line in zip(rows, capsys.readouterr().out.splitlines()[1:], strict=True):
        name, *figures = line.split(",")
        scale = 1 if name.endswith("age") else 100
        assert row[0] == name
        # The CSV has more digits.
        assert [float(cell) for cell in row[1:]] == pytest.approx([scale * float(each) for each in figures], abs=0.06)


@pytest.mark.parametrize(("values", "trends"), [(("2026-11-20", "2026-11-22"), 2), (("north", "south"), 0)])
def test_groups_that_are_days_have_a_trend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: tuple[str, str], trends: int
) -> None:
    rows = [answer(number, place=values[number % 2]) for number in range(80)]
    text = page(capsys, written(tmp_path, *rows), "--by", "place")
    assert text.count("<path ") == trends
    assert all(f"place {value}: 40 faces" in text for value in values)


def test_text_from_the_answers_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [answer(number, place=HOSTILE if number % 2 else "shop") for number in range(80)]
    text = page(capsys, written(tmp_path, *rows), "--by", "place")
    assert HOSTILE not in text
    assert "&lt;img src=x" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], browser: Browser, scheme: Any
) -> None:
    rows = [answer(number, day=f"2026-11-2{number % 3}") for number in range(90)]
    (tmp_path / "page.html").write_text(page(capsys, written(tmp_path, *rows), "--by", "day"))
    opened = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    opened.goto(f"file://{tmp_path / 'page.html'}")
    assert Axe().run(opened).response["violations"] == []
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    opened.close()

"""The web page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.server import Server


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the browser wrote to its console."""
    return []


@pytest.fixture(scope="module")
def page(server: Server, complaints: list[str]) -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed; on Debian and Ubuntu: sudo apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        opened = browser.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.goto(server.url)
        yield opened
        browser.close()


def test_a_chosen_picture_is_shown_and_answered(page: Page, face: bytes, tmp_path: Path, complaints: list[str]) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(face)
    page.set_input_files("#picture", picture)
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#answer dt")).to_have_text(["Age", "Gender", "Ethnicity"])
    expect(page.locator("#answer dd").first).to_contain_text("years")
    assert page.evaluate("document.getElementById('preview').naturalWidth") == 100
    assert complaints == []


def test_a_file_that_is_no_picture_is_told_so(page: Page, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    page.set_input_files("#picture", text)
    expect(page.locator("#answer .problem")).to_contain_text("not a readable picture")


def test_the_page_names_the_model_it_asks(page: Page) -> None:
    expect(page.locator("#model")).to_contain_text("age-gender-detection")

"""What the page shows of a prediction: provisional, withheld and final, and its examples."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from serving.input_check import CODES
from tests.browser import PHONE, choose, file, halves, jpeg, wait_for_prediction, warned
from tests.screenshots import EXAMPLE_COUNT, EXAMPLES, FRAMING, example, portrait
from tests.server import Server

METRICS = "#prediction dl.metrics"


@pytest.mark.parametrize(
    ("code", "shown"), [("not_a_face", "does not look like one upright face"), ("low_contrast", "almost no contrast")]
)
def test_page_withholds_the_estimate_of_an_image_that_is_not_a_face(
    page: Page, framed_face: bytes, code: str, shown: str
) -> None:
    warned(page, code, "score 5.8, faces stay below 0.0")
    choose(page, file(framed_face))
    expect(page.get_by_role("heading", name="No estimate")).to_be_visible()
    expect(page.locator("#prediction .warnings li")).to_contain_text(shown)
    expect(page.locator("main")).not_to_contain_text("years")
    expect(page.locator("main")).not_to_contain_text("score")
    expect(page.get_by_role("status").first).to_contain_text(re.compile("^No estimate. Warning: "))
    page.get_by_role("button", name="Show anyway").click()
    expect(page.locator(METRICS)).to_contain_text("years")
    expect(page.get_by_role("heading", name="Estimate")).to_be_focused()
    # The warning stays on top.
    assert page.locator("#prediction > div > *").evaluate_all("(all) => all.map((one) => one.className)")[:2] == [
        "warnings",
        "metrics",
    ]


def test_tiles_withhold_the_estimate_of_an_image_that_is_not_a_face(page: Page, framed_face: bytes) -> None:
    warned(page, "not_a_face")
    choose(page, file(framed_face), file(framed_face))
    expect(page.locator(".tile .warned")).to_have_text(["No framed face"] * 2)
    expect(page.locator("#tiles")).not_to_contain_text("years")


@pytest.mark.parametrize("code", [*CODES, "unknown"])
def test_page_has_its_own_sentence_for_every_warning(page: Page, framed_face: bytes, code: str) -> None:
    warned(page, code)
    choose(page, file(framed_face))
    warning = page.locator("#prediction .warnings li")
    expect(warning).to_be_visible()
    assert (warning.inner_text() == "The server's words.") is (code == "unknown")


def test_prediction_is_provisional_until_the_face_is_framed(page: Page) -> None:
    # The drawn portraits show a face in the distance, of which the input check warns.
    warned(page, "low_resolution")
    choose(page, file(portrait(3)))
    hint = page.locator("#prediction .hint")
    expect(hint).to_contain_text("Provisional: frame the face.")
    expect(page.locator(METRICS)).to_have_class("metrics provisional")
    expect(page.get_by_role("status").first).to_contain_text("Provisional")
    with page.expect_response("**/predict"):
        for key in FRAMING:
            page.keyboard.press(key)
    wait_for_prediction(page)
    expect(hint).to_be_hidden()
    expect(page.locator(METRICS)).to_have_class("metrics")
    page.get_by_role("button", name="Reset frame").click()
    expect(hint).to_be_visible()
    page.get_by_role("button", name="It is framed").click()
    expect(hint).to_be_hidden()
    expect(page.locator(METRICS)).to_have_class("metrics")


def test_small_square_image_is_not_provisional(page: Page, framed_face: bytes) -> None:
    choose(page, file(framed_face))
    expect(page.locator(METRICS)).to_have_class("metrics")
    expect(page.locator("#prediction .warnings")).to_be_hidden()


def test_tiles_dim_provisional_predictions(page: Page, framed_face: bytes) -> None:
    warned(page, "low_resolution")
    choose(page, file(framed_face), file(jpeg(halves(600, 300))))
    summaries = page.locator(".tile .summary")
    expect(summaries.nth(0)).to_have_class("summary")
    expect(summaries.nth(1)).to_have_class("summary provisional")
    expect(summaries.nth(1)).to_contain_text("frame the face")


def test_page_offers_examples_that_get_an_estimate(page: Page) -> None:
    buttons = page.locator("#examples button")
    expect(buttons).to_have_count(EXAMPLE_COUNT)
    buttons.first.click()
    expect(page.locator(METRICS)).to_have_class("metrics")
    expect(page.locator("#prediction .warnings")).to_be_hidden()


def test_examples_are_small_drawn_and_without_warnings(server: Server) -> None:
    committed = [(EXAMPLES / f"example-{number + 1}.jpg").read_bytes() for number in range(EXAMPLE_COUNT)]
    assert sum(map(len, committed)) < 30_000
    for number, data in enumerate(committed):
        pixels, drawn = (np.asarray(Image.open(io.BytesIO(each)), float) for each in (data, example(number)))
        # Another version of the JPEG library may round differently.
        assert np.abs(pixels - drawn).mean() < 1
        assert "warnings" not in server.post(data).json()["predictions"][0]


def test_phone_hides_key_hints_and_shows_the_camera_first_and_the_prediction_in_a_line(
    browser: Browser, server: Server, framed_face: bytes
) -> None:
    phone = browser.new_page(base_url=server.url, viewport=PHONE, has_touch=True, is_mobile=True)
    phone.goto("/")
    choose(phone, file(framed_face))
    expect(phone.locator("#brief")).to_contain_text("years")
    expect(phone.locator(".keys")).to_be_hidden()
    photo, chosen = (
        phone.get_by_role("button", name=name).bounding_box() for name in ("Take a photo", "Choose images")
    )
    assert photo
    assert chosen
    assert (photo["y"], photo["x"] < chosen["x"]) == (chosen["y"], True)
    brief = phone.locator("#brief")
    frame, line = phone.locator("#frame").bounding_box(), brief.bounding_box()
    assert frame
    assert line
    assert line["height"] < 30
    assert 0 <= line["y"] - frame["y"] - frame["height"] < 30
    phone.close()


def test_footer_is_aligned_with_the_page(page: Page) -> None:
    left = "(all) => all.map((one) => one.getBoundingClientRect().left)"
    assert len(set(page.locator("h1, main, footer section:first-child h2, #model").evaluate_all(left))) == 1

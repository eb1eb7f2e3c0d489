"""What the page shows of a prediction: withheld and final, on a phone, and its examples."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from serving.input_check import CODES
from tests.browser import PHONE, answered, choose, file, found, frame_by_hand, halves, jpeg, photo, warned
from tests.screenshots import EXAMPLES, GROUP, group, page_examples, portrait
from tests.server import Server

METRICS = "#faces dl.metrics"


@pytest.mark.parametrize(
    ("code", "shown"),
    [("not_a_face", "does not look like one upright, uncovered face"), ("low_contrast", "almost no contrast")],
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
    assert page.locator("#faces .body > div > *").evaluate_all("(all) => all.map((one) => one.className)")[:2] == [
        "warnings",
        "metrics",
    ]


def test_tiles_withhold_the_estimate_of_an_image_that_is_not_a_face(page: Page, framed_face: bytes) -> None:
    warned(page, "not_a_face")
    choose(page, file(framed_face), file(framed_face))
    expect(page.locator(".tile .warned")).to_have_text(["No clear face"] * 2)
    expect(page.locator("#tiles")).not_to_contain_text("years")


@pytest.mark.parametrize("code", [*CODES, "unknown"])
def test_page_has_its_own_sentence_for_every_warning(page: Page, framed_face: bytes, code: str) -> None:
    warned(page, code)
    choose(page, file(framed_face))
    warning = page.locator("#prediction .warnings li")
    expect(warning).to_be_visible()
    assert (warning.inner_text() == "The server's words.") is (code == "unknown")


def test_nothing_is_estimated_for_a_photo_without_a_face(page: Page) -> None:
    choose(page, file(jpeg(halves(600, 300))))
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("years")
    expect(page.get_by_role("status").first).to_have_text("No face found.")
    frame_by_hand(page)
    expect(page.locator("main")).not_to_contain_text("years")
    expect(page.locator("#answer")).to_contain_text("Move the frame onto a face.")


def test_page_says_that_only_the_largest_faces_are_listed(page: Page) -> None:
    many = photo(found(0.1, 0.1, 0.3, 30), found(0.6, 0.6, 0.2, 40))
    answered(page, many | {"warnings": [{"code": "too_many_faces", "detail": "90 faces were found"}]})
    choose(page, file(portrait(0)))
    expect(page.locator("#answer .warnings li")).to_have_text(re.compile("Only the largest are shown."))
    expect(page.locator("#faces .face")).to_have_count(2)


def test_page_offers_examples_that_get_an_estimate(page: Page) -> None:
    buttons = page.locator("#examples button")
    expect(buttons).to_have_count(3)
    buttons.first.click()
    expect(page.locator(METRICS)).to_be_visible()
    expect(page.locator("#prediction .warnings")).to_be_hidden()
    expect(buttons.last).to_be_hidden()
    page.reload()
    buttons.last.click()
    expect(page.get_by_role("heading", name=f"{len(GROUP)} faces")).to_be_visible()


def test_examples_are_small_drawn_and_without_warnings(server: Server) -> None:
    drawn = page_examples()
    committed = [(EXAMPLES / f"example-{number + 1}.jpg").read_bytes() for number in range(len(drawn))]
    assert sum(map(len, committed)) < 60_000
    for data, again in zip(committed, drawn, strict=True):
        pixels, expected = (np.asarray(Image.open(io.BytesIO(each)), float) for each in (data, again))
        # Another version of the JPEG library may round differently.
        assert np.abs(pixels - expected).mean() < 1
        faces = server.post(data, path="/detect").json()["predictions"][0]["faces"]
        assert len(faces) == (len(GROUP) if data is committed[-1] else 1)
        assert [face for face in faces if "warnings" in face] == []


@pytest.fixture
def phone(browser: Browser, server: Server) -> Iterator[Page]:
    """The opened page on a phone."""
    opened = browser.new_page(base_url=server.url, viewport=PHONE, has_touch=True, is_mobile=True)
    opened.goto("/")
    yield opened
    opened.close()


def test_phone_hides_key_hints_and_shows_the_camera_first(phone: Page) -> None:
    photo_, chosen = (
        phone.get_by_role("button", name=name).bounding_box() for name in ("Take a photo", "Choose photos")
    )
    assert photo_
    assert chosen
    assert (photo_["y"], photo_["x"] < chosen["x"]) == (chosen["y"], True)
    choose(phone, file(jpeg(halves(600, 300))))
    frame_by_hand(phone)
    expect(phone.locator(".keys")).to_be_hidden()


def test_phone_shows_one_line_in_view_and_the_details_on_demand(phone: Page) -> None:
    choose(phone, file(group()))
    brief = phone.locator("#brief")
    expect(brief).to_contain_text("years")
    line, stage = brief.bounding_box(), phone.locator("#stage").bounding_box()
    assert line
    assert stage
    assert line["height"] < 48
    assert 0 <= line["y"] - stage["y"] - stage["height"] < 30
    expect(phone.locator("#faces .body")).to_have_count(len(GROUP))
    for body in phone.locator("#faces .body").all():
        expect(body).to_be_hidden()
    # The line stays in view when the photo is taller than the window.
    phone.set_viewport_size({"width": PHONE["width"], "height": 320})
    phone.evaluate("scrollTo(0, 0)")
    low = brief.bounding_box()
    assert low
    assert low["y"] + low["height"] <= 321
    phone.set_viewport_size(PHONE)
    phone.locator(".box").last.tap()
    expect(phone.locator("#faces .face").last).to_have_class(re.compile("selected"))
    phone.locator("#faces .head").last.tap()
    expect(phone.locator("#faces .body").last).to_be_visible()


def test_phone_shows_the_reason_of_a_withheld_estimate_at_once(phone: Page, framed_face: bytes) -> None:
    warned(phone, "not_a_face")
    choose(phone, file(framed_face))
    expect(phone.locator("#faces .warnings")).to_be_visible()
    expect(phone.locator("main")).not_to_contain_text("years")


def test_footer_is_aligned_with_the_page(page: Page) -> None:
    left = "(all) => all.map((one) => one.getBoundingClientRect().left)"
    assert len(set(page.locator("h1, main, footer section:first-child h2, #model").evaluate_all(left))) == 1

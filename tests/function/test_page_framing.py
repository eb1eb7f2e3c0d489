"""The frame of the page and the pixels that the page sends."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import (
    PHONE,
    PREDICT,
    answered,
    choose,
    edges,
    file,
    found,
    frame_by_hand,
    halves,
    image_of,
    jpeg,
    photo,
    record,
    wait_for_prediction,
)
from tests.screenshots import portrait
from tests.server import Server

# value of the EXIF orientation tag: turn by 90 degrees clockwise to see it upright
ORIENTATION, TURN_RIGHT = 0x0112, 6


def framed(page: Page, sent: list[bytes], change: Callable[[], object]) -> Image.Image:
    """Return the image sent after the user changes the frame."""
    with page.expect_response(PREDICT):
        change()
    wait_for_prediction(page)
    return image_of(sent[-1])


@pytest.mark.parametrize("way", ["mouse", "keys", "sliders"])
def test_frame_moves_and_zooms(page: Page, sent: list[bytes], way: str) -> None:
    choose(page, file(jpeg(halves(600, 300))))
    frame_by_hand(page)
    # Nothing is estimated before the user frames a face.
    assert len(sent) == 1
    expect(page.get_by_role("heading", name="No estimate yet")).to_be_visible()
    first = framed(page, sent, page.get_by_role("button", name="It is framed").click)
    assert (first.size, edges(first)) == ((300, 300), ["red", "blue"])
    frame = page.get_by_role("application", name="Frame the face")
    frame.focus()

    box = frame.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag() -> None:
        page.mouse.move(x, y)
        page.mouse.down()
        # The pointer may leave the canvas.
        page.mouse.move(x - box["width"], y, steps=4)
        page.mouse.up()
        page.mouse.move(x, y)

    def slide() -> None:
        page.get_by_text("Move with sliders").click()
        page.get_by_label("Across").fill("100")

    def press(key: str, times: int) -> None:
        for _ in range(times):
            page.keyboard.press(key)

    moves = {"mouse": drag, "keys": lambda: press("ArrowRight", 12), "sliders": slide}
    right = framed(page, sent, moves[way])
    assert (right.size, edges(right)) == ((300, 300), ["blue", "blue"])

    zooms = {
        "mouse": lambda: page.mouse.wheel(0, -400),
        "keys": lambda: press("+", 5),
        "sliders": lambda: page.get_by_label("Zoom").fill("40"),
    }
    assert 100 < framed(page, sent, zooms[way]).width < 200
    count = len(sent)
    page.get_by_role("button", name="Reset frame").click()
    expect(page.get_by_role("heading", name="No estimate yet")).to_be_visible()
    start = framed(page, sent, page.get_by_role("button", name="It is framed").click)
    assert (start.size, edges(start), len(sent)) == ((300, 300), ["red", "blue"], count + 1)


def test_frame_zooms_with_two_fingers(browser: Browser, server: Server) -> None:
    phone = browser.new_context(base_url=server.url, viewport=PHONE, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto("/")
    sent = record(page)
    choose(page, file(jpeg(halves(600, 300))))
    frame_by_hand(page)
    box = page.locator("#frame").bounding_box()
    assert box is not None
    fingers = phone.new_cdp_session(page)
    y = box["y"] + box["height"] / 2

    def touch(kind: str, *across: float) -> None:
        points = [{"x": box["x"] + part * box["width"], "y": y, "id": number} for number, part in enumerate(across)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def spread() -> None:
        touch("touchStart", 0.4, 0.6)
        touch("touchMove", 0.3, 0.7)
        touch("touchMove", 0.2, 0.8)
        touch("touchEnd")

    nearer = framed(page, sent, spread)
    # The fingers spread from 20 % of the view to 60 %: the frame has a third of its side.
    assert nearer.width == pytest.approx(100, abs=8)
    assert edges(nearer) == ["red", "blue"]
    phone.close()


def test_adjust_starts_at_the_found_face_and_replaces_its_prediction(page: Page, sent: list[bytes]) -> None:
    answered(page, photo(found(0.1, 0.1, 0.2, 30), found(0.55, 0.3, 0.4, 60)))
    choose(page, file(jpeg(halves(600, 600))))
    page.locator("#faces .head").nth(1).click()
    page.locator("#faces .face.selected").get_by_role("button", name="Adjust").click()
    expect(page.locator("#frame")).to_be_focused()
    expect(page.locator("#answer")).to_contain_text("60 years")
    assert sent == []
    near = framed(page, sent, lambda: page.keyboard.press("ArrowRight"))
    # The eyes are 0.4 of the box apart, and in the frame, too. The found face is in the blue half.
    assert near.width == pytest.approx(240, abs=5)
    assert edges(near) == ["blue", "blue"]
    page.get_by_role("button", name="Show anyway").click()
    changed = page.locator("#answer dd").first.inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#faces .face.selected .head")).to_be_focused()
    assert page.locator("#faces .face.selected dd").first.inner_text() == changed
    expect(page.locator("#faces .head").first).to_contain_text("30 years")

    page.locator("#faces .face.selected").get_by_role("button", name="Adjust").click()
    page.get_by_role("button", name="Reset frame").click()
    expect(page.locator("#answer")).to_contain_text("60 years")


def test_face_framed_by_hand_joins_the_found_ones(page: Page) -> None:
    answered(page, photo(found(0.1, 0.1, 0.2, 30)))
    choose(page, file(jpeg(halves(600, 600))))
    page.get_by_role("button", name="Frame a missed face").click()
    expect(page.locator("#frame")).to_be_focused()
    with page.expect_response(PREDICT):
        page.keyboard.press("+")
    wait_for_prediction(page)
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
    expect(page.locator(".box")).to_have_count(2)
    expect(page.locator("#faces .face").nth(1)).to_have_class(re.compile("selected"))


def test_frame_that_the_user_leaves_unchanged_adds_no_face(page: Page, sent: list[bytes]) -> None:
    choose(page, file(jpeg(halves(600, 300))))
    frame_by_hand(page)
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="No face found")).to_be_focused()
    assert len(sent) == 1


def test_page_applies_the_exif_orientation(page: Page, sent: list[bytes]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    lying = Image.open(io.BytesIO(portrait(0))).transpose(Image.Transpose.ROTATE_90)
    large = lying.resize((lying.width * 4, lying.height * 4))
    for image, name in ((lying, "small.jpg"), (large, "large.jpg")):
        choose(page, file(jpeg(image, exif=exif), name))
        expect(page.locator("#faces .face")).to_have_count(1)
        box, shown = page.locator(".box").bounding_box(), page.locator("#stage img").bounding_box()
        assert box
        assert shown
        # The face of the upright portrait is in the middle, a little above.
        middle = (box["x"] + box["width"] / 2 - shown["x"]) / shown["width"]
        down = (box["y"] + box["height"] / 2 - shown["y"]) / shown["height"]
        assert middle == pytest.approx(0.5, abs=0.03)
        assert down == pytest.approx(0.5, abs=0.1)
    choose(page, file(jpeg(halves(600, 300).transpose(Image.Transpose.ROTATE_90), exif=exif)))
    frame_by_hand(page)
    assert edges(framed(page, sent, page.get_by_role("button", name="It is framed").click)) == ["red", "blue"]


def test_page_reduces_large_photos_and_puts_transparent_ones_on_white(page: Page, sent: list[bytes]) -> None:
    choose(page, file(jpeg(halves(4096, 2048))))
    frame_by_hand(page)
    assert image_of(sent[0]).size == (2048, 1024)
    assert framed(page, sent, page.get_by_role("button", name="It is framed").click).size == (512, 512)
    out = io.BytesIO()
    Image.new("RGBA", (120, 100)).save(out, "PNG")
    choose(page, file(out.getvalue(), "clear.gif", "image/gif"))
    wait_for_prediction(page)
    assert image_of(sent[-1]).getpixel((50, 50)) == (255, 255, 255)


def test_page_sends_small_photos_unchanged(page: Page, sent: list[bytes]) -> None:
    content = portrait(0)
    choose(page, file(content))
    wait_for_prediction(page)
    assert content in sent[0]

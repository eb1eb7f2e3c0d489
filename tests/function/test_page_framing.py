"""The frame of the page and the pixels that the page sends."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import PHONE, choose, edges, file, halves, image_of, jpeg, record, wait_for_prediction
from tests.server import Server

# value of the EXIF orientation tag: turn by 90 degrees clockwise to see it upright
ORIENTATION, TURN_RIGHT = 0x0112, 6


def framed(page: Page, sent: list[bytes], change: Callable[[], object]) -> Image.Image:
    """Return the image sent after the user changes the frame."""
    with page.expect_response("**/predict"):
        change()
    wait_for_prediction(page)
    return image_of(sent[-1])


@pytest.mark.parametrize("way", ["mouse", "keys", "sliders"])
def test_frame_moves_and_zooms(page: Page, sent: list[bytes], way: str) -> None:
    choose(page, file(jpeg(halves(600, 300))))
    wait_for_prediction(page)
    first = image_of(sent[0])
    assert (first.size, edges(first)) == ((300, 300), ["red", "blue"])
    frame = page.get_by_role("application", name="Frame the face")
    expect(frame).to_be_focused()

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
    start = framed(page, sent, page.get_by_role("button", name="Reset frame").click)
    assert (start.size, edges(start)) == ((300, 300), ["red", "blue"])


def test_frame_zooms_with_two_fingers(browser: Browser, server: Server) -> None:
    phone = browser.new_context(base_url=server.url, viewport=PHONE, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto("/")
    sent = record(page)
    choose(page, file(jpeg(halves(600, 300))))
    wait_for_prediction(page)
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


def test_page_applies_the_exif_orientation(page: Page, sent: list[bytes]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    lying = halves(600, 300).transpose(Image.Transpose.ROTATE_90)
    choose(page, file(jpeg(lying, exif=exif)))
    wait_for_prediction(page)
    assert edges(image_of(sent[0])) == ["red", "blue"]


def test_page_reduces_large_images_and_puts_transparent_ones_on_white(page: Page, sent: list[bytes]) -> None:
    choose(page, file(jpeg(halves(3000, 2000))))
    wait_for_prediction(page)
    assert image_of(sent[0]).size == (512, 512)
    out = io.BytesIO()
    Image.new("RGBA", (120, 100)).save(out, "PNG")
    choose(page, file(out.getvalue(), "clear.png", "image/png"))
    wait_for_prediction(page)
    assert image_of(sent[-1]).getpixel((50, 50)) == (255, 255, 255)

"""The screenshots of the web page in docs/, of drawn faces: `python -m tests.screenshots docs`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser import choose, chromium, file, jpeg, wait_for_answer
from tests.conftest import FUNCTION
from tests.server import serve

WIDE, PHONE = ViewportSize(width=1080, height=760), ViewportSize(width=390, height=844)
# pixels; drawn at this many times the size, then reduced, so that edges are smooth
SIZE, SMOOTH = (900, 675), 2
# a portrait: skin, hair, shirt, background, and whether the hair is long
PORTRAITS = (
    ("#e8b998", "#4b2e1e", "#2f6f8f", "#d9e2e4", True),
    ("#8d5a3c", "#1d1613", "#c98b2b", "#dfe6d6", False),
    ("#f1cdb0", "#8f8a86", "#6b4f7d", "#e6dfe8", False),
    ("#c68e65", "#2a1c15", "#a5473f", "#e9e2d3", True),
    ("#f3d3bb", "#c08a3e", "#3f7a5b", "#d5e1ea", True),
    ("#dba981", "#d9d6d2", "#44566c", "#ece3da", False),
)
# zoom keys that bring the face of a portrait into the guide, then arrow keys
FRAMING = ("+", "+", "+", "+", "+", "ArrowUp", "ArrowUp")


def main(folder: Path) -> None:
    """Write page-light.png, page-dark.png and page-phone.png into `folder`."""
    with serve(FUNCTION) as server, chromium() as browser:
        page = _open(browser, server.url, WIDE, dark=False)
        _frame_one(page)
        _save(page, folder / "page-light.png")
        page = _open(browser, server.url, WIDE, dark=True)
        choose(page, *[file(portrait(number), f"face-{number + 1}.jpg") for number in range(len(PORTRAITS))])
        page.locator(".tile .summary").last.wait_for()
        _save(page, folder / "page-dark.png")
        page = _open(browser, server.url, PHONE, dark=False)
        _frame_one(page)
        _save(page, folder / "page-phone.png")


def portrait(number: int) -> bytes:
    """One of `PORTRAITS` as a JPEG of `SIZE`: a drawing, nobody's face."""
    skin, hair, shirt, ground, long = PORTRAITS[number]
    image = Image.new("RGB", (SIZE[0] * SMOOTH, SIZE[1] * SMOOTH), ground)
    canvas = ImageDraw.Draw(image)

    def box(x: float, y: float, half_width: float, half_height: float) -> tuple[float, float, float, float]:
        unit = SIZE[1] * SMOOTH
        x, y = SIZE[0] * SMOOTH / 2 + x * unit, y * unit
        return (x - half_width * unit, y - half_height * unit, x + half_width * unit, y + half_height * unit)

    if long:
        canvas.rounded_rectangle(box(0, 0.52, 0.25, 0.36), SIZE[1] * SMOOTH * 0.22, fill=hair)
    canvas.ellipse(box(0, 1.05, 0.42, 0.25), fill=shirt)
    canvas.rounded_rectangle(box(0, 0.75, 0.075, 0.14), 40, fill=_shade(skin, 0.88))
    canvas.ellipse(box(0, 0.4, 0.225, 0.265), fill=hair)
    canvas.ellipse(box(0, 0.47, 0.19, 0.25), fill=skin)
    canvas.chord(box(0, 0.36, 0.2, 0.19), 190, 350, fill=hair)
    for side in (-1, 1):
        canvas.arc(box(side * 0.085, 0.4, 0.05, 0.03), 200, 340, fill=hair, width=14)
        canvas.ellipse(box(side * 0.085, 0.44, 0.034, 0.02), fill="#fdfdfb")
        canvas.ellipse(box(side * 0.085, 0.44, 0.017, 0.019), fill="#33251d")
        canvas.ellipse(box(side * 0.11, 0.55, 0.04, 0.025), fill=_shade(skin, 0.95))
    canvas.arc(box(0, 0.53, 0.026, 0.022), 20, 160, fill=_shade(skin, 0.72), width=10)
    canvas.chord(box(0, 0.6, 0.07, 0.04), 10, 170, fill="#a8504c")
    return jpeg(image.resize(SIZE, Image.Resampling.LANCZOS))


def _shade(colour: str, factor: float) -> tuple[int, int, int]:
    red, green, blue = (int(int(colour[start : start + 2], 16) * factor) for start in (1, 3, 5))
    return red, green, blue


def _open(browser: Browser, url: str, size: ViewportSize, *, dark: bool) -> Page:
    page = browser.new_page(
        base_url=url, viewport=size, color_scheme="dark" if dark else "light", has_touch=size is PHONE
    )
    page.goto("/")
    return page


def _frame_one(page: Page) -> None:
    choose(page, file(portrait(0)))
    wait_for_answer(page)
    with page.expect_response("**/predict"):
        for key in FRAMING:
            page.keyboard.press(key)
    wait_for_answer(page)


def _save(page: Page, path: Path) -> None:
    # At rest: no ring of the keyboard's focus, nothing that fades.
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    # A palette makes a third of the bytes, and the eye does not see it.
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    page.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.screenshots <folder>")
    main(Path(sys.argv[1]))

"""Images in docs/ and of the page: screenshots and example faces. `make screenshots` writes them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser import choose, chromium, file, jpeg
from tests.conftest import FUNCTION
from tests.server import serve

WIDE, PHONE = ViewportSize(width=1080, height=760), ViewportSize(width=390, height=844)
# pixels; drawn at a multiple of the size, then reduced for smooth edges
SIZE, SMOOTH = (900, 675), 2
# docs/example.jpg: the face in the fourth portrait, as left, top, right and bottom, and the side of the file
FACE, FACE_SIDE = (220, 70, 680, 530), 320
# a portrait: skin, hair, shirt, background, and whether the hair is long
PORTRAITS = (
    ("#e8b998", "#4b2e1e", "#2f6f8f", "#d9e2e4", True),
    ("#8d5a3c", "#1d1613", "#c98b2b", "#dfe6d6", False),
    ("#f1cdb0", "#8f8a86", "#6b4f7d", "#e6dfe8", False),
    ("#c68e65", "#2a1c15", "#a5473f", "#e9e2d3", True),
    ("#f3d3bb", "#c08a3e", "#3f7a5b", "#d5e1ea", True),
)
# the people of the group: middle, top and height of each, in pixels; those behind come first
GROUP = ((150, 130, 430), (420, 40, 430), (720, 110, 440), (300, 270, 470), (580, 290, 450))
# the framed face of a portrait: middle from the top, and side, as fractions of the portrait's height
FRAMED = (0.5432, 0.4323)

EXAMPLES = FUNCTION / "serving" / "page"
# pixels: side of a framed face, and sizes of the page's examples
FRAMED_SIDE, EXAMPLE_SIZE, GROUP_SIZE = 224, (480, 360), (720, 540)


def main(folder: Path) -> None:
    """Write example.jpg and page-{light,dark,phone}.png to `folder`, and the examples of the page."""
    (folder / "example.jpg").write_bytes(documented_example())
    for number, drawn in enumerate(page_examples()):
        (EXAMPLES / f"example-{number + 1}.jpg").write_bytes(drawn)
    with serve(FUNCTION) as server, chromium() as browser:
        page = _open(browser, server.url, WIDE, dark=False)
        _choose_group(page)
        _save(page, folder / "page-light.png")
        page = _open(browser, server.url, WIDE, dark=True)
        faces = [file(portrait(number), f"face-{number + 1}.jpg") for number in range(len(PORTRAITS))]
        choose(page, file(group(), "group.jpg"), *faces, file(b"", "empty.jpg"))
        page.get_by_role("status").filter(has_text="1 failed").wait_for()
        _save(page, folder / "page-dark.png")
        page = _open(browser, server.url, PHONE, dark=False)
        _choose_group(page)
        _save(page, folder / "page-phone.png")


class _Sketch:
    """A drawing of people. x and y are fractions of a person's height, from the middle of its upper edge."""

    def __init__(self, size: tuple[int, int], background: str) -> None:
        self.image = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), background)
        self.canvas = ImageDraw.Draw(self.image)
        self.move(size[0] / 2, 0, size[1])

    def move(self, middle: float, top: float, height: float) -> None:
        """Place the next person, in pixels."""
        self._middle, self._top, self.height = middle * SMOOTH, top * SMOOTH, height * SMOOTH

    def box(self, x: float, y: float, across: float, down: float) -> tuple[float, float, float, float]:
        """Return the corners of a box by its centre and half sides, in pixels."""
        left, top = self.points((x - across, y - down))
        right, bottom = self.points((x + across, y + down))
        return left, top, right, bottom

    def points(self, *points: tuple[float, float]) -> list[float]:
        """Return x and y of each point, in pixels."""
        return [value for x, y in points for value in (self._middle + x * self.height, self._top + y * self.height)]

    def width(self, pixels: int) -> int:
        """Return the width of a line that is `pixels` wide in a portrait."""
        return round(pixels * self.height / (SIZE[1] * SMOOTH))

    def jpeg(self, size: tuple[int, int], quality: int) -> bytes:
        """Return the drawing as a JPEG of `size`."""
        out = io.BytesIO()
        self.image.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=quality)
        return out.getvalue()


def documented_example() -> bytes:
    """Return docs/example.jpg, one aligned and cropped drawing, as a JPEG."""
    face = Image.open(io.BytesIO(portrait(3))).crop(FACE)
    return jpeg(face.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.LANCZOS))


def portrait(number: int, size: tuple[int, int] = SIZE, quality: int = 95) -> bytes:
    """Draw one of `PORTRAITS` as a JPEG."""
    sketch = _Sketch(SIZE, PORTRAITS[number][3])
    _draw_person(sketch, number)
    return sketch.jpeg(size, quality)


def group(size: tuple[int, int] = SIZE, quality: int = 95) -> bytes:
    """Draw all `PORTRAITS` as one group, as a JPEG."""
    sketch = _Sketch(SIZE, "#dfe4dc")
    for number, (middle, top, height) in enumerate(GROUP):
        sketch.move(middle, top, height)
        _draw_person(sketch, number)
    return sketch.jpeg(size, quality)


def page_examples() -> list[bytes]:
    """Draw the examples of the page."""
    return [portrait(0, EXAMPLE_SIZE, 85), portrait(1, EXAMPLE_SIZE, 85), group(GROUP_SIZE, 85)]


def example(number: int) -> bytes:
    """Crop one of `PORTRAITS` to its framed face, as a JPEG."""
    image = Image.open(io.BytesIO(portrait(number)))
    middle, side = (share * SIZE[1] for share in FRAMED)
    left, top = (SIZE[0] - side) / 2, middle - side / 2
    framed = image.resize(
        (FRAMED_SIDE, FRAMED_SIDE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
    )
    out = io.BytesIO()
    framed.save(out, "JPEG", quality=85)
    return out.getvalue()


def _draw_person(sketch: _Sketch, number: int) -> None:
    skin, hair, shirt, _, long = PORTRAITS[number]
    box, canvas, width = sketch.box, sketch.canvas, sketch.width
    if long:
        canvas.rounded_rectangle(box(0, 0.52, 0.25, 0.36), width(300), fill=hair)
    canvas.ellipse(box(0, 1.05, 0.42, 0.25), fill=shirt)
    canvas.rounded_rectangle(box(0, 0.75, 0.075, 0.14), width(40), fill=_shade(skin, 0.88))
    canvas.ellipse(box(0, 0.4, 0.225, 0.265), fill=hair)
    canvas.ellipse(box(0, 0.47, 0.19, 0.25), fill=skin)
    canvas.chord(box(0, 0.36, 0.2, 0.19), 190, 350, fill=hair)
    _draw_features(sketch, skin, hair)


def _draw_features(sketch: _Sketch, skin: str, hair: str) -> None:
    box, points, canvas, width = sketch.box, sketch.points, sketch.canvas, sketch.width
    dark = "#33251d"
    for side in (-1, 1):
        brow = points((side * 0.125, 0.405), (side * 0.095, 0.392), (side * 0.05, 0.402))
        canvas.line(brow, fill=_shade(hair, 0.8), width=width(16), joint="curve")
        canvas.ellipse(box(side * 0.085, 0.44, 0.028, 0.0125), fill="#f4f1ec")
        canvas.ellipse(box(side * 0.085, 0.44, 0.0125, 0.0125), fill=dark)
        canvas.arc(box(side * 0.085, 0.443, 0.031, 0.018), 190, 350, fill=dark, width=width(8))
        canvas.arc(box(side * 0.085, 0.452, 0.03, 0.016), 30, 150, fill=_shade(skin, 0.82), width=width(6))
    canvas.line(points((-0.02, 0.44), (-0.03, 0.53)), fill=_shade(skin, 0.85), width=width(8))
    canvas.arc(box(0, 0.528, 0.034, 0.02), 10, 170, fill=_shade(skin, 0.66), width=width(10))
    canvas.ellipse(box(0, 0.612, 0.068, 0.022), fill="#a85f56")
    canvas.line(points((-0.068, 0.61), (0.068, 0.61)), fill=_shade(skin, 0.45), width=width(8))
    canvas.arc(box(0, 0.655, 0.04, 0.015), 200, 340, fill=_shade(skin, 0.85), width=width(6))


def _shade(colour: str, factor: float) -> tuple[int, int, int]:
    red, green, blue = (int(int(colour[start : start + 2], 16) * factor) for start in (1, 3, 5))
    return red, green, blue


def _open(browser: Browser, url: str, size: ViewportSize, *, dark: bool) -> Page:
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    touch = size is PHONE
    page = browser.new_page(base_url=url, viewport=size, color_scheme=scheme, has_touch=touch, is_mobile=touch)
    page.goto("/")
    return page


def _choose_group(page: Page) -> None:
    choose(page, file(group(), "group.jpg"))
    page.locator("#faces .face").first.wait_for()


def _save(page: Page, path: Path) -> None:
    # Without focus ring and transitions.
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    # A palette saves two thirds of the bytes without a visible difference.
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    page.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.screenshots <folder>")
    main(Path(sys.argv[1]))

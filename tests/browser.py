"""A real Chromium with a fake camera, for the tests and screenshots of the page."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, ViewportSize, expect, sync_playwright

PHONE = ViewportSize(width=360, height=740)
# addresses of the page's requests
DETECT, PREDICT = "**/detect?probabilities=true", "**/predict?detect=false&probabilities=true"
# colours of the two halves of a test image
_RED, _BLUE = (220, 30, 30), (30, 30, 220)

# Chromium grants its fake camera, a moving test image, without a prompt.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


class NoChromiumError(Exception):
    """Chromium is not installed. The message says how to install it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium without a window.

    Raises:
        NoChromiumError: Chromium is not installed.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise NoChromiumError("chromium is not installed; on Debian and Ubuntu: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def file(content: bytes, name: str = "face.jpg", kind: str = "image/jpeg") -> FilePayload:
    """Return a file for the file chooser."""
    return {"name": name, "mimeType": kind, "buffer": content}


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """Encode an image as a JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def halves(width: int, height: int) -> Image.Image:
    """Return an image with a red left half and a blue right half."""
    image = Image.new("RGB", (width, height), _RED)
    image.paste(_BLUE, (width // 2, 0, width, height))
    return image


def edges(image: Image.Image) -> list[str]:
    """Return the colours of the left and the right edge, red or blue, at half height."""
    pixels = [image.getpixel((x, image.height // 2)) for x in (2, image.width - 3)]
    return ["red" if isinstance(pixel, tuple) and pixel[0] > pixel[2] else "blue" for pixel in pixels]


def choose(page: Page, *files: FilePayload) -> None:
    """Choose files with the file chooser."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose photos").click()
    chooser.value.set_files(list(files))


def warned(page: Page, code: str, detail: str = "The server's words.") -> None:
    """Add a warning to every face and to every prediction that the page receives."""

    def add(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for prediction in body["predictions"]:
            for each in prediction.get("faces", [prediction]):
                each["warnings"] = [{"code": code, "detail": detail}]
        route.fulfill(response=response, json=body)

    page.route(DETECT, add)
    page.route(PREDICT, add)


def answered(page: Page, *photos: dict[str, Any]) -> None:
    """Answer every search for faces with these results, instead of the server."""
    page.route(DETECT, lambda route: route.fulfill(json={"predictions": list(photos)}))


def found(left: float, top: float, side: float, years: int, **more: Any) -> dict[str, Any]:
    """Return a face as the server finds it, in a square image. Lengths are shares of the image's side."""
    eyes, mouth = ((0.3, 0.35), (0.7, 0.35)), (0.5, 0.78)
    points = [[left + side * x, top + side * y] for x, y in (*eyes, mouth)]
    return {
        "box": {"left": left, "top": top, "width": side, "height": side},
        "landmarks": dict(zip(("right_eye", "left_eye", "mouth"), points, strict=True)),
        "score": 0.9,
        "age": {"years": years, "low": years - 5, "high": years + 5},
        "gender": {"label": "female", "probability": 0.9},
        **more,
    }


def photo(*faces: dict[str, Any], side: int = 600) -> dict[str, Any]:
    """Return the server's result for a square image."""
    return {"width": side, "height": side, "faces": list(faces)}


def wait_for_prediction(page: Page) -> None:
    """Wait until the open photo has its answer, or the framed face its prediction."""
    expect(page.locator("#prediction")).to_have_attribute("aria-busy", "false")


def frame_by_hand(page: Page) -> None:
    """Open the frame of a photo without a found face."""
    page.get_by_role("button", name="Frame a face by hand").click()
    expect(page.locator("#frame")).to_be_focused()


def record(page: Page) -> list[bytes]:
    """Return a list to which every search for faces and every prediction request appends its body."""
    bodies: list[bytes] = []

    def pass_on(route: Route) -> None:
        # Chromium exposes uploaded files only for intercepted requests.
        bodies.append(route.request.post_data_buffer or b"")
        route.continue_()

    page.route(DETECT, pass_on)
    page.route(PREDICT, pass_on)
    return bodies


def image_of(body: bytes) -> Image.Image:
    """Return the image of a recorded body."""
    start = body.index(b"\r\n\r\n") + 4
    return Image.open(io.BytesIO(body[start : body.rindex(b"\r\n--")])).convert("RGB")

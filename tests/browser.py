"""A real Chromium, with a made-up camera, for tests of the page and for its screenshots."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, ViewportSize, expect, sync_playwright

PHONE = ViewportSize(width=360, height=740)
# colours of the two halves of a picture, which tell what part of it was sent
_RED, _BLUE = (220, 30, 30), (30, 30, 220)

# The camera shows Chromium's own moving test picture, and is granted without a question.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


class NoChromiumError(Exception):
    """Chromium is not installed; the message says how to get it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium without a window, and end it afterwards.

    Raises:
        NoChromiumError: there is none.
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
    """A file to choose."""
    return {"name": name, "mimeType": kind, "buffer": content}


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """The image as a JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def halves(width: int, height: int) -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), _RED)
    image.paste(_BLUE, (width // 2, 0, width, height))
    return image


def edges(image: Image.Image) -> list[str]:
    """Whether the left and the right edge are red or blue, half-way down."""
    pixels = [image.getpixel((x, image.height // 2)) for x in (2, image.width - 3)]
    return ["red" if isinstance(pixel, tuple) and pixel[0] > pixel[2] else "blue" for pixel in pixels]


def choose(page: Page, *files: FilePayload) -> None:
    """Choose files as a user does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    chooser.value.set_files(list(files))


def wait_for_prediction(page: Page) -> None:
    """Wait until the open picture has the answer to how it is framed now."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")


def record(page: Page) -> list[bytes]:
    """A list that grows by the body of every request for an answer."""
    bodies: list[bytes] = []

    def pass_on(route: Route) -> None:
        # The browser hands out files only of a request that is held up.
        bodies.append(route.request.post_data_buffer or b"")
        route.continue_()

    page.route("**/predict", pass_on)
    return bodies


def image_of(body: bytes) -> Image.Image:
    """The one picture of a recorded body."""
    start = body.index(b"\r\n\r\n") + 4
    return Image.open(io.BytesIO(body[start : body.rindex(b"\r\n--")])).convert("RGB")

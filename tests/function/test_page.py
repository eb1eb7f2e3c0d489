"""The web page in a real browser, asking the real function."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, ViewportSize, expect

from tests.browser import NoChromiumError, chromium
from tests.faces import draw
from tests.server import Server

PHONE = ViewportSize(width=360, height=740)
# left half red, right half blue: which part of it was sent can be told from the colours
RED, BLUE = (220, 30, 30), (30, 30, 220)
# value of the EXIF orientation tag: turn by 90 degrees clockwise to see it upright
ORIENTATION, TURN_RIGHT = 0x0112, 6


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as running:
            yield running
    except NoChromiumError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    opened = browser.new_context(base_url=server.url)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """The page as it opens. What the browser complains of on the way, its content policy too, fails the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto("/")
    yield opened
    # A refused request is reported by the browser itself, whatever the page makes of it.
    assert [text for text in complaints if "the server responded with a status" not in text] == []


@pytest.fixture
def sent(page: Page) -> list[bytes]:
    """Bodies of the requests for an answer, in their order."""
    bodies: list[bytes] = []
    # Asked for at once: the browser forgets them.
    page.route("**/predict", lambda route: (bodies.append(route.request.post_data_buffer or b""), route.continue_()))
    return bodies


def file(content: bytes, name: str = "face.jpg") -> Any:
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def jpeg(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def halves(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def picture(body: bytes) -> Image.Image:
    """The one picture of a form."""
    start = body.index(b"\r\n\r\n") + 4
    return Image.open(io.BytesIO(body[start : body.rindex(b"\r\n--")])).convert("RGB")


def colours(image: Image.Image) -> list[str]:
    """Of its left and its right edge, half-way down."""
    middle = image.height // 2
    edges = [image.getpixel((x, middle)) for x in (2, image.width - 3)]
    return ["red" if isinstance(edge, tuple) and edge[0] > edge[2] else "blue" for edge in edges]


def choose(page: Page, *files: Any) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    chooser.value.set_files(list(files))


def wait_for_answer(page: Page) -> None:
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")


def framed(page: Page, sent: list[bytes], change: Callable[[], object]) -> Image.Image:
    """What is sent after the user changed the frame."""
    with page.expect_response("**/predict"):
        change()
    wait_for_answer(page)
    return picture(sent[-1])


def test_a_small_square_picture_gets_the_very_answer_of_the_interface(page: Page, server: Server) -> None:
    face = jpeg(Image.open(io.BytesIO(draw(30, 1, 2, seed=7))).resize((200, 200)))
    wanted = server.post(face).json()["predictions"][0]
    with page.expect_response("**/predict") as response:
        choose(page, file(face))
    assert response.value.json()["predictions"] == [wanted]
    expect(page.locator("#answer dt")).to_have_text(["Age", "Gender", "Ethnicity"])
    years, low, high = (round(wanted["age"][name]) for name in ("years", "low", "high"))
    expect(page.locator("#answer dd").first).to_contain_text(f"{years} years")
    expect(page.locator("#answer dd").first).to_contain_text(f"likely {low} to {high}")
    expect(page.locator("#answer dd").nth(1)).to_contain_text(wanted["gender"]["label"])
    # The same for the ear.
    expect(page.get_by_role("status").first).to_contain_text(f"{years} years, likely {low} to {high}; ")


def test_a_dropped_picture_is_answered(page: Page, face: bytes) -> None:
    carried = page.evaluate_handle(
        """(base64) => {
            const carried = new DataTransfer();
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            carried.items.add(new File([bytes], "face.jpg", { type: "image/jpeg" }));
            return carried;
        }""",
        base64.b64encode(face).decode(),
    )
    page.dispatch_event("#intake", "dragover", {"dataTransfer": carried})
    expect(page.locator("#intake")).to_have_class("over")
    page.dispatch_event("#intake", "drop", {"dataTransfer": carried})
    expect(page.locator("#intake")).not_to_have_class("over")
    wait_for_answer(page)
    expect(page.locator("#answer dt").first).to_have_text("Age")


@pytest.mark.parametrize("way", ["keys", "button"])
def test_a_pasted_picture_is_answered(page: Page, context: BrowserContext, way: str) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(120, 120);
            canvas.getContext("2d").fillRect(20, 20, 50, 50);
            const blob = await canvas.convertToBlob({ type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    if way == "keys":
        page.keyboard.press("Control+V")
    else:
        page.get_by_role("button", name="Paste").click()
    wait_for_answer(page)
    expect(page.locator("#answer dt").first).to_have_text("Age")


def test_pasted_text_is_told_to_be_no_picture(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    expect(page.get_by_role("alert")).to_contain_text("held no picture")


def test_the_camera_takes_a_picture_and_is_switched_off(page: Page, sent: list[bytes]) -> None:
    page.get_by_role("button", name="Take a picture").click()
    dialog = page.get_by_role("dialog", name="Take a picture")
    expect(dialog).to_be_visible()
    track = page.evaluate_handle("document.getElementById('finder').srcObject.getVideoTracks()[0]") if (
        page.wait_for_function("document.getElementById('finder').videoWidth > 0")
    ) else None
    expect(dialog.get_by_role("button", name="Take it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    wait_for_answer(page)
    assert picture(sent[0]).width >= 240
    assert track is not None
    assert track.evaluate("(track) => track.readyState") == "ended"


def test_a_camera_that_is_not_there_is_explained(page: Page) -> None:
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'))"
    )
    page.get_by_role("button", name="Take a picture").click()
    expect(page.locator("#camera-said")).to_contain_text("No camera was found")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Take a picture")).to_be_focused()

"""The web page in a real browser, asking the real function: how pictures come in, and what is answered."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser import choose, file, halves, image_of, jpeg, wait_for_prediction
from tests.server import Server
from training.faces import draw


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
    wait_for_prediction(page)
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
    wait_for_prediction(page)
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
    expect(dialog.get_by_role("button", name="Take it")).to_be_focused()
    track = page.evaluate_handle("document.getElementById('finder').srcObject.getVideoTracks()[0]")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    wait_for_prediction(page)
    assert image_of(sent[0]).width >= 240
    assert track.evaluate("(track) => track.readyState") == "ended"


def test_without_access_to_the_camera_the_device_is_asked_for_a_picture(context: BrowserContext, face: bytes) -> None:
    page = context.new_page()
    # So it is where the page did not come over HTTPS.
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.goto("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a picture").click()
    assert chooser.value.element.get_attribute("capture") == "user"
    chooser.value.set_files(file(face))
    expect(page.locator("#answer dt").first).to_have_text("Age")


def test_a_camera_that_is_not_there_is_explained(page: Page) -> None:
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError')); }"
    )
    page.get_by_role("button", name="Take a picture").click()
    expect(page.locator("#camera-said")).to_contain_text("No camera was found")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Take a picture")).to_be_focused()


def test_a_file_that_is_no_picture_is_explained_by_the_server(page: Page) -> None:
    choose(page, file(b"no picture", "notes.jpg"))
    expect(page.locator("#answer .problem")).to_contain_text("not an image of a known format")
    expect(page.locator("#frame")).to_be_hidden()


def test_a_file_that_is_no_picture_does_not_get_the_answer_of_the_one_before(page: Page, face: bytes) -> None:
    choose(page, file(face))
    expect(page.locator("#answer dt").first).to_have_text("Age")
    choose(page, file(b"no picture", "notes.txt", "text/plain"))
    expect(page.locator("#answer .problem")).to_contain_text("not an image of a known format")


def test_a_key_is_asked_for_where_one_is_needed(page: Page, face: bytes) -> None:
    detail = "this function answers only with its API key"

    def guard(route: Route) -> None:
        if route.request.headers.get("x-api-key") == "secret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": detail})

    page.route("**/predict", guard)
    choose(page, file(face))
    expect(page.get_by_role("alert")).to_have_text(detail)
    for key in ("wrong", "secret"):
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type(key)
        with page.expect_response("**/predict"):
            page.keyboard.press("Enter")
    expect(page.locator("#answer dt").first).to_have_text("Age")
    expect(page.locator("#notice")).to_be_hidden()
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


@pytest.mark.parametrize("lost", [True, False])
def test_a_failed_request_can_be_tried_again(page: Page, face: bytes, lost: bool) -> None:
    def fail(route: Route) -> None:
        if lost:
            route.abort()
        else:
            route.fulfill(status=503, headers={"Retry-After": "7"}, json={"detail": "too much is asked at once."})

    page.route("**/predict", fail, times=1)
    choose(page, file(face))
    wanted = "The server could not be reached" if lost else "too much is asked at once. Try again in 7 s."
    expect(page.get_by_role("alert")).to_contain_text(wanted)
    expect(page.locator("#answer")).to_have_text("not answered")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answer dt").first).to_have_text("Age")
    expect(page.locator("#notice")).to_be_hidden()


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(page: Page) -> None:
    held: list[Route] = []
    # The wrapper is needed: playwright marks the function that it is given.
    page.route("**/predict", lambda route: held.append(route), times=1)  # noqa: PLW0108
    # Moved before it is asked about, a picture would be asked about once.
    with page.expect_request("**/predict"):
        choose(page, file(jpeg(halves(600, 300))))
    with page.expect_response("**/predict"):
        page.keyboard.press("ArrowRight")
    wait_for_prediction(page)
    shown = page.locator("#answer").inner_text()
    old = {"predictions": [{"age": {"years": 99, "low": 98, "high": 100}}]}
    with page.expect_response("**/predict"):
        held[0].fulfill(json=old)
    page.wait_for_timeout(100)
    assert page.locator("#answer").inner_text() == shown


def test_the_page_says_what_it_is_for_and_what_becomes_of_a_picture(page: Page) -> None:
    text = page.locator("body").inner_text()
    for said in ("nothing of it is stored or logged", "must not be used for", "to verify anybody's age", "An estimate"):
        assert said in text
    expect(page.locator("#model")).to_contain_text("age-gender-detection")
    assert [link.get_attribute("href") for link in page.get_by_role("link").all()] == ["docs", "openapi.json"]


def test_the_page_works_below_a_path(context: BrowserContext, server: Server, face: bytes) -> None:
    def forward(route: Route) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace("/some/path", "")))

    context.route("**/*", lambda route: forward(route) if "/some/path/" in route.request.url else route.abort())
    page = context.new_page()
    page.goto(f"{server.url}/some/path/")
    choose(page, file(face))
    expect(page.locator("#answer dt").first).to_have_text("Age")

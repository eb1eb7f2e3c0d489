"""The web page in a real browser against the real function: inputs, predictions and errors."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser import DETECT, PREDICT, choose, file, frame_by_hand, halves, image_of, jpeg, wait_for_prediction
from tests.server import Server


def test_page_shows_the_prediction_of_the_http_api(page: Page, server: Server, framed_face: bytes) -> None:
    detection = server.post(framed_face, path="/detect?probabilities=true").json()["predictions"][0]
    (wanted,) = detection["faces"]
    assert "warnings" not in wanted
    with page.expect_response(DETECT) as response:
        choose(page, file(framed_face))
    assert response.value.json()["predictions"] == [detection]
    expect(page.locator("#prediction dt")).to_have_text(["Age", "Gender", "Ethnicity"])
    years, low, high = (round(wanted["age"][name]) for name in ("years", "low", "high"))
    expect(page.locator("#prediction dd").first).to_contain_text(f"{years} years")
    expect(page.locator("#prediction dd").first).to_contain_text(f"likely {low} to {high}")
    expect(page.locator("#prediction dd").nth(1)).to_contain_text(wanted["gender"]["label"])
    # Screen readers get the same.
    expect(page.get_by_role("status").first).to_contain_text(f"{years} years, likely {low} to {high}; ")


def test_page_predicts_a_dropped_image(page: Page, framed_face: bytes) -> None:
    carried = page.evaluate_handle(
        """(base64) => {
            const carried = new DataTransfer();
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            carried.items.add(new File([bytes], "face.jpg", { type: "image/jpeg" }));
            return carried;
        }""",
        base64.b64encode(framed_face).decode(),
    )
    page.dispatch_event("#intake", "dragover", {"dataTransfer": carried})
    expect(page.locator("#intake")).to_have_class("over")
    page.dispatch_event("#intake", "drop", {"dataTransfer": carried})
    expect(page.locator("#intake")).not_to_have_class("over")
    wait_for_prediction(page)
    expect(page.locator("#prediction dt").first).to_have_text("Age")


@pytest.mark.parametrize("way", ["keys", "button"])
def test_page_predicts_a_pasted_image(page: Page, context: BrowserContext, way: str) -> None:
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
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()


def test_page_refuses_pasted_text(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('no image')")
    page.keyboard.press("Control+V")
    expect(page.get_by_role("alert")).to_contain_text("There is no image on the clipboard.")


def test_camera_takes_a_photo_and_is_switched_off(page: Page, sent: list[bytes]) -> None:
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Capture")).to_be_focused()
    track = page.evaluate_handle("document.getElementById('preview').srcObject.getVideoTracks()[0]")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    wait_for_prediction(page)
    assert image_of(sent[0]).width >= 240
    assert track.evaluate("(track) => track.readyState") == "ended"


def test_page_asks_the_device_for_a_photo_without_access_to_the_camera(
    context: BrowserContext, framed_face: bytes
) -> None:
    page = context.new_page()
    # Browsers do this for pages without HTTPS.
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.goto("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").click()
    assert chooser.value.element.get_attribute("capture") == "user"
    chooser.value.set_files(file(framed_face))
    expect(page.locator("#prediction dt").first).to_have_text("Age")


def test_page_explains_a_missing_camera(page: Page) -> None:
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError')); }"
    )
    page.get_by_role("button", name="Take a photo").click()
    expect(page.locator("#camera-message")).to_contain_text("No camera was found")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Take a photo")).to_be_focused()


def test_page_explains_a_file_that_is_not_an_image(page: Page) -> None:
    choose(page, file(b"no image", "notes.jpg"))
    expect(page.get_by_role("heading", name="Could not read notes.jpg")).to_be_visible()
    expect(page.locator("#prediction .problem")).to_have_text("This file isn't a JPEG, PNG, WebP or AVIF image.")
    expect(page.locator("#stage")).to_be_hidden()
    page.get_by_text("Details").click()
    expect(page.locator("#prediction details p")).to_contain_text("not an image of a known format")


def test_page_explains_a_truncated_file(page: Page, framed_face: bytes) -> None:
    choose(page, file(framed_face[: len(framed_face) // 2], "cut.jpg"))
    expect(page.get_by_role("heading", name="Could not read cut.jpg")).to_be_visible()
    expect(page.locator("#prediction .problem")).to_have_text("The file is incomplete. Try exporting it again.")


def test_page_sends_neither_empty_nor_huge_files(page: Page, sent: list[bytes]) -> None:
    for content, explained in ((b"", "The file is empty."), (bytes(9 * 2**20), "it is too large to send")):
        choose(page, file(content))
        expect(page.locator("#prediction .problem")).to_contain_text(explained)
    assert sent == []


def test_page_shows_no_earlier_prediction_for_a_file_that_is_not_an_image(page: Page, framed_face: bytes) -> None:
    choose(page, file(framed_face))
    expect(page.locator("#prediction dt").first).to_have_text("Age")
    choose(page, file(b"no image", "notes.txt", "text/plain"))
    expect(page.locator("#prediction .problem")).to_contain_text("isn't a JPEG")


def test_page_asks_for_the_api_key(page: Page, framed_face: bytes) -> None:
    detail = "this function requires an API key"

    def guard(route: Route) -> None:
        if route.request.headers.get("x-api-key") == "secret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": detail})

    page.route(DETECT, guard)
    choose(page, file(framed_face))
    expect(page.get_by_role("alert")).to_have_text(detail)
    for key in ("wrong", "secret"):
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type(key)
        with page.expect_response(DETECT):
            page.keyboard.press("Enter")
    expect(page.locator("#prediction dt").first).to_have_text("Age")
    expect(page.locator("#notice")).to_be_hidden()
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


@pytest.mark.parametrize("lost", [True, False])
def test_page_repeats_a_failed_request(page: Page, framed_face: bytes, lost: bool) -> None:
    def fail(route: Route) -> None:
        if lost:
            route.abort()
        else:
            route.fulfill(status=503, headers={"Retry-After": "7"}, json={"detail": "too many requests."})

    page.route(DETECT, fail, times=1)
    choose(page, file(framed_face))
    wanted = "The server could not be reached" if lost else "too many requests. Try again in 7 s."
    expect(page.get_by_role("alert")).to_contain_text(wanted)
    expect(page.get_by_role("heading", name="No answer")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#prediction dt").first).to_have_text("Age")
    expect(page.locator("#notice")).to_be_hidden()


def test_page_repeats_the_failed_request_of_a_frame(page: Page, framed_face: bytes) -> None:
    page.route(PREDICT, lambda route: route.fulfill(status=503, json={"detail": "too many requests."}), times=1)
    choose(page, file(framed_face))
    page.get_by_role("button", name="Adjust").click()
    expect(page.locator("#frame")).to_be_focused()
    page.keyboard.press("+")
    expect(page.get_by_role("alert")).to_have_text("too many requests.")
    with page.expect_response(PREDICT):
        page.get_by_role("button", name="Try again").click()
    wait_for_prediction(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#answer dt").first).to_have_text("Age")


def test_page_ignores_a_response_that_is_older_than_the_shown_one(page: Page) -> None:
    held: list[Route] = []
    # Playwright sets an attribute on the handler, which a bound method does not allow.
    page.route(PREDICT, lambda route: held.append(route), times=1)  # noqa: PLW0108
    choose(page, file(jpeg(halves(600, 300))))
    frame_by_hand(page)
    with page.expect_request(PREDICT):
        page.keyboard.press("ArrowRight")
    with page.expect_response(PREDICT):
        page.keyboard.press("ArrowRight")
    wait_for_prediction(page)
    shown = page.locator("#prediction").inner_text()
    old = {"predictions": [{"age": {"years": 99, "low": 98, "high": 100}}]}
    with page.expect_response(PREDICT):
        held[0].fulfill(json=old)
    page.wait_for_timeout(100)
    assert page.locator("#prediction").inner_text() == shown


def test_page_states_meaning_prohibited_uses_and_privacy(page: Page) -> None:
    text = page.locator("body").inner_text()
    for said in ("neither stores nor logs", "Prohibited uses", "age verification", "The model estimates"):
        assert said in text
    expect(page.locator("#model")).to_contain_text("age-gender-detection")
    assert [link.get_attribute("href") for link in page.get_by_role("link").all()] == ["docs", "openapi.json"]


def test_page_works_below_a_path_prefix(context: BrowserContext, server: Server, framed_face: bytes) -> None:
    def forward(route: Route) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace("/some/path", "")))

    context.route("**/*", lambda route: forward(route) if "/some/path/" in route.request.url else route.abort())
    page = context.new_page()
    page.goto(f"{server.url}/some/path/")
    choose(page, file(framed_face))
    expect(page.locator("#prediction dt").first).to_have_text("Age")

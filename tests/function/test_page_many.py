"""Several images at once in the page."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import DETECT, PREDICT, choose, edges, file, frame_by_hand, halves, image_of, jpeg
from tests.conftest import FUNCTION
from tests.screenshots import example, group
from tests.server import serve

# milliseconds for dozens of photos, a tenth of a second each on a free machine
MANY = 30_000


def test_page_shows_several_photos_as_a_grid(page: Page, sent: list[bytes], framed_face: bytes) -> None:
    wide = file(jpeg(halves(600, 300)), "wide.jpg")
    choose(page, file(framed_face, "first.jpg"), file(b"no image", "notes.jpg"), wide, file(group(), "group.jpg"))
    tiles = page.locator(".tile")
    expect(tiles.nth(0)).to_contain_text(re.compile("first.jpg.*years.*likely"))
    expect(tiles.nth(1)).to_contain_text("isn't a JPEG")
    expect(tiles.nth(2)).to_contain_text("No face found")
    expect(tiles.nth(3)).to_contain_text(re.compile(r"group.jpg5 facesages \d+, "))
    expect(page.get_by_role("status").first).to_have_text("4 photos, 6 faces, 1 failed.")
    expect(page.get_by_role("heading", name="4 photos, 6 faces")).to_be_focused()
    assert len(sent) == 1

    tiles.nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No face found")).to_be_focused()
    frame_by_hand(page)
    # The changed frame is sent although the user leaves the photo at once.
    page.get_by_text("Move with sliders").click()
    with page.expect_response(PREDICT):
        page.get_by_label("Across").fill("0")
        page.get_by_role("button", name="All photos").click()
    assert edges(image_of(sent[-1])) == ["red", "red"]
    expect(tiles.nth(2)).to_be_focused()
    expect(tiles.nth(2)).to_contain_text("Low contrast")
    expect(page.get_by_role("heading", name="4 photos, 7 faces")).to_be_visible()


def test_page_summarizes_more_than_a_dozen_faces(page: Page, framed_face: bytes) -> None:
    several = [file(framed_face, f"{number}.jpg") for number in range(13)]
    choose(page, *several[:12])
    expect(page.get_by_role("heading", name="12 photos, 12 faces")).to_be_visible(timeout=MANY)
    expect(page.get_by_role("heading", name="Who is in these photos")).to_be_hidden()

    choose(page, *several)
    expect(page.get_by_role("heading", name="Who is in these photos")).to_be_visible(timeout=MANY)
    rows = page.locator("#crowd tr")
    expect(rows.first).to_have_text("groupestimated95 % intervalcounted")
    expect(rows.filter(has_text="mean age")).to_contain_text("years")
    expect(page.locator("#crowd")).to_contain_text("13 faces counted")
    expect(page.locator("#crowd")).to_contain_text("counted twice")
    assert Axe().run(page).response["violations"] == []

    choose(page, *several[:2])
    expect(page.get_by_role("heading", name="Who is in these photos")).to_be_hidden()


def test_page_says_why_there_is_no_summary(browser: Browser, framed_face: bytes) -> None:
    with serve(FUNCTION, MIN_GROUP="99") as cautious:
        page = browser.new_page(base_url=cautious.url)
        page.goto("/")
        choose(page, *[file(framed_face, f"{number}.jpg") for number in range(13)])
        expect(page.locator("#crowd")).to_contain_text(
            "13 faces were counted, and groups of fewer than 99", timeout=MANY
        )
        page.close()


def test_page_steps_through_photos(page: Page, sent: list[bytes], framed_face: bytes) -> None:
    choose(page, file(framed_face, "a.jpg"), file(b"no image", "b.jpg"), file(framed_face, "c.jpg"))
    page.locator(".tile").first.click()
    expect(page.locator("#position p")).to_have_text("1 of 3 a.jpg")
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#position p")).to_have_text("2 of 3 b.jpg")
    expect(page.get_by_role("heading", name="Could not read b.jpg")).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#position p")).to_have_text("3 of 3 c.jpg")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Adjust").click()
    expect(page.locator("#frame")).to_be_focused()
    # A changed frame is sent although the user leaves the photo at once.
    with page.expect_response(PREDICT):
        page.keyboard.press("+")
        page.get_by_role("button", name="Previous").click()
    assert image_of(sent[-1]).width < 224
    expect(page.get_by_role("heading", name="Could not read b.jpg")).to_be_visible()


def test_page_leaves_a_frame_whose_photo_is_still_decoded(page: Page, sent: list[bytes], framed_face: bytes) -> None:
    choose(page, *[file(framed_face, f"{number}.jpg") for number in range(3)])
    expect(page.get_by_role("heading", name="3 photos, 3 faces")).to_be_visible()
    page.locator(".tile").first.click()
    # Each click comes before the photo of the frame before is decoded.
    page.evaluate(
        """() => {
            document.querySelector("#faces .body .row button").click();
            for (let time = 0; time < 5; time++) document.getElementById("next").click();
            for (const id of ["reset", "zoom"]) {
                document.getElementById(id).dispatchEvent(new Event(id === "zoom" ? "input" : "click"));
            }
        }"""
    )
    expect(page.locator("#position p")).to_have_text("3 of 3 2.jpg")
    expect(page.locator("#faces dl.metrics")).to_be_visible()
    expect(page.locator("#bench")).to_be_hidden()
    page.wait_for_timeout(400)
    assert len(sent) == 1


def test_tiles_cut_names_in_the_middle_and_errors_after_two_lines(page: Page, framed_face: bytes) -> None:
    names = [f"a_long_name_of_an_image_file_{number}.jpg" for number in range(3)]
    choose(page, *[file(framed_face, name) for name in names[:2]], file(b"no image", names[2]))
    end = page.locator(".tile .name").first.locator("span").last
    expect(end).to_have_text(names[0][-12:])
    expect(page.locator(".tile").first).to_contain_text(names[0])
    for part in page.locator(".tile .name").all():
        assert part.evaluate("(name) => name.scrollWidth <= name.clientWidth")
    error = page.locator(".tile .problem")
    expect(error).to_contain_text("isn't a JPEG")
    heights = "(text) => [text.getBoundingClientRect().height, 2.1 * parseFloat(getComputedStyle(text).lineHeight)]"
    height, most = error.evaluate(heights)
    assert height <= most


def test_page_sends_many_images_in_batches(page: Page, sent: list[bytes], framed_face: bytes) -> None:
    choose(page, *[file(framed_face, f"{number}.jpg") for number in range(35)])
    expect(page.get_by_role("status").first).to_have_text("35 photos, 35 faces.", timeout=MANY)
    assert [body.count(b"filename=") for body in sent] == [8, 8, 8, 8, 3]


def test_page_retries_images_without_a_prediction(page: Page, framed_face: bytes) -> None:
    page.route(DETECT, lambda route: route.fulfill(status=503, json={"detail": "too many requests."}), times=1)
    choose(page, *[file(framed_face, f"{number}.jpg") for number in range(33)])
    expect(page.get_by_role("alert")).to_have_text("too many requests.")
    expect(page.locator(".tile").first).to_contain_text("no answer")
    expect(page.locator(".tile").last).to_contain_text("no answer")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("status").first).to_have_text("33 photos, 33 faces.", timeout=MANY)


def test_page_halves_batches_that_the_server_refuses(browser: Browser) -> None:
    with serve(FUNCTION, MAX_IMAGES="2") as small:
        page = browser.new_page(base_url=small.url)
        page.goto("/")
        faces = [example(number) for number in range(5)]
        choose(page, *[file(face, f"{number}.jpg") for number, face in enumerate(faces)])
        expect(page.get_by_role("status").first).to_have_text("5 photos, 5 faces.")
        for number, face in enumerate(faces):
            age = small.post(face, path="/detect").json()["predictions"][0]["faces"][0]["age"]
            expect(page.locator(".tile").nth(number)).to_contain_text(f"{round(age['years'])} year")
        page.close()


def test_page_explains_each_of_several_errors(page: Page) -> None:
    choose(page, file(b"no image"), file(b""))
    expect(page.locator(".tile .problem")).to_contain_text(["isn't a JPEG", "empty"])

"""Several pictures at once in the page."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser import choose, edges, file, halves, image_of, jpeg
from tests.conftest import FUNCTION
from tests.server import serve
from training.faces import draw


def test_several_pictures_are_a_grid_whose_tiles_open(page: Page, sent: list[bytes], face: bytes) -> None:
    wide = file(jpeg(halves(600, 300)), "wide.jpg")
    choose(page, file(face, "first.jpg"), file(b"no picture", "notes.jpg"), wide)
    tiles = page.locator(".tile")
    expect(tiles.nth(0)).to_contain_text(re.compile("first.jpg.*years.*likely"))
    expect(tiles.nth(1)).to_contain_text("not an image of a known format")
    expect(page.get_by_role("status").first).to_have_text("2 of 3 pictures are answered, 1 could not be.")
    expect(page.get_by_role("heading", name="3 pictures")).to_be_focused()
    assert len(sent) == 1

    tiles.nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#frame")).to_be_focused()
    expect(page.locator("#answer dt").first).to_have_text("Age")
    assert len(sent) == 1
    # The change is asked for although the picture is left at once.
    page.get_by_text("Move by sliders").click()
    with page.expect_response("**/predict"):
        page.get_by_label("Across").fill("0")
        page.get_by_role("button", name="Back to all pictures").click()
    assert edges(image_of(sent[-1])) == ["red", "red"]
    expect(tiles.nth(2)).to_be_focused()
    expect(tiles.nth(2)).to_contain_text("years")


def test_many_pictures_are_sent_in_runs_that_the_server_takes(page: Page, sent: list[bytes], face: bytes) -> None:
    choose(page, *[file(face, f"{number}.jpg") for number in range(35)])
    expect(page.get_by_role("status").first).to_have_text("35 of 35 pictures are answered.")
    assert [body.count(b"filename=") for body in sent] == [32, 3]


def test_pictures_without_an_answer_are_asked_for_again(page: Page, face: bytes) -> None:
    page.route("**/predict", lambda route: route.fulfill(status=503, json={"detail": "too much at once."}), times=1)
    choose(page, *[file(face, f"{number}.jpg") for number in range(33)])
    expect(page.get_by_role("alert")).to_have_text("too much at once.")
    expect(page.locator(".tile").first).to_contain_text("not answered")
    expect(page.locator(".tile").last).to_contain_text("not answered")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("status").first).to_have_text("33 of 33 pictures are answered.")


def test_a_server_that_takes_fewer_is_asked_in_halves(browser: Browser) -> None:
    with serve(FUNCTION, MAX_IMAGES="2") as small:
        page = browser.new_page(base_url=small.url)
        page.goto("/")
        faces = [draw(age, 0, 0, seed=age) for age in (2, 20, 40, 60, 80)]
        choose(page, *[file(face, f"{number}.jpg") for number, face in enumerate(faces)])
        expect(page.get_by_role("status").first).to_have_text("5 of 5 pictures are answered.")
        for number, face in enumerate(faces):
            age = small.post(face).json()["predictions"][0]["age"]
            expect(page.locator(".tile").nth(number)).to_contain_text(f"{round(age['years'])} year")
        page.close()


def test_only_bad_pictures_are_explained_each(page: Page) -> None:
    choose(page, file(b"no picture"), file(b""))
    expect(page.locator(".tile .problem")).to_contain_text(["not an image of a known format", "empty"])

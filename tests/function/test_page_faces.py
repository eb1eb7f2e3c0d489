"""The faces of a photo in the page: boxes on the photo, joined with their answers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser import answered, choose, file, found, halves, jpeg, photo
from tests.screenshots import GROUP, group
from tests.server import Server


def test_boxes_are_where_the_server_found_the_faces(page: Page, server: Server) -> None:
    wanted = server.post(group(), path="/detect").json()["predictions"][0]["faces"]
    choose(page, file(group()))
    expect(page.get_by_role("heading", name=f"{len(GROUP)} faces")).to_be_visible()
    expect(page.locator(".box")).to_have_count(len(wanted))
    frame = page.locator("#stage img").bounding_box()
    assert frame
    for face, box in zip(wanted, page.locator(".box").all(), strict=True):
        place = box.bounding_box()
        assert place
        shown = {
            "left": (place["x"] - frame["x"]) / frame["width"],
            "top": (place["y"] - frame["y"]) / frame["height"],
            "width": place["width"] / frame["width"],
            "height": place["height"] / frame["height"],
        }
        assert shown == pytest.approx(face["box"], abs=0.01)
        expect(box.locator(".tag")).to_have_text(str(face["age"]["years"]))


def test_the_largest_face_is_open_and_others_open_on_demand(page: Page) -> None:
    answered(page, photo(found(0.5, 0.2, 0.4, 30), found(0.1, 0.2, 0.2, 60)))
    choose(page, file(jpeg(halves(600, 600))))
    heads, boxes = page.locator("#faces .head"), page.locator(".box")
    expect(heads.first).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#faces .body").first).to_contain_text("30 years")
    expect(page.get_by_role("status").first).to_contain_text("2 faces. The largest: 30 years, likely 25 to 35")
    expect(page.locator("#faces .body").last).to_be_hidden()
    boxes.last.click()
    expect(page.locator("#faces .body").last).to_contain_text("60 years")
    expect(page.locator("#faces .body").first).to_be_hidden()
    expect(boxes.last).to_have_class(re.compile("selected"))
    # Arrow keys go from face to face.
    page.keyboard.press("ArrowUp")
    expect(boxes.first).to_have_class(re.compile("selected"))
    expect(page.get_by_role("radio", name=re.compile("Face 1 of 2: 30 years"))).to_be_focused()
    heads.last.focus()
    page.keyboard.press("Enter")
    expect(boxes.last).to_have_class(re.compile("selected"))
    page.keyboard.press("Enter")
    expect(heads.last).to_have_attribute("aria-expanded", "false")


def test_hover_and_focus_join_box_and_answer(page: Page) -> None:
    answered(page, photo(found(0.5, 0.2, 0.4, 30), found(0.1, 0.2, 0.2, 60)))
    choose(page, file(jpeg(halves(600, 600))))
    rows, boxes = page.locator("#faces .face"), page.locator(".box")
    joined = re.compile("joined")
    boxes.last.hover()
    expect(rows.last).to_have_class(joined)
    rows.first.hover()
    expect(boxes.first).to_have_class(joined)
    expect(rows.last).not_to_have_class(joined)
    page.mouse.move(0, 0)
    page.locator("#faces .head").last.focus()
    expect(boxes.last).to_have_class(joined)
    expect(boxes.first).not_to_have_class(joined)


def test_box_beyond_the_photo_ends_at_its_border(page: Page) -> None:
    answered(page, photo(found(-0.2, -0.2, 0.6, 30)))
    choose(page, file(jpeg(halves(600, 600))))
    box, shown = page.locator(".box"), page.locator("#stage img")
    expect(box).to_be_visible()
    inner, outer = box.bounding_box(), shown.bounding_box()
    assert inner
    assert outer
    assert abs(inner["x"] - outer["x"]) < 1
    assert abs(inner["width"] / outer["width"] - 0.4) < 0.01


def test_real_faces_of_a_group_are_found(page: Page, utkface: Path) -> None:
    chips = [Image.open(path).convert("RGB") for path in sorted(utkface.glob("3*_*.jpg"))[:3]]
    scene = Image.new("RGB", (1200, 600), "#9db7c9")
    for number, chip in enumerate(chips):
        scene.paste(chip.resize((220, 220)), (80 + 380 * number, 180))
    out = io.BytesIO()
    scene.save(out, "JPEG")
    choose(page, file(out.getvalue()))
    expect(page.get_by_role("heading", name="3 faces")).to_be_visible()
    expect(page.locator("#faces .thumbnail")).to_have_count(3)

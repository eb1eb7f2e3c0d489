"""Accessibility of the page: warnings, phones, screen readers and colour schemes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import DETECT, PHONE, choose, file, frame_by_hand, halves, jpeg, warned
from tests.screenshots import GROUP, group
from tests.server import Server


@pytest.mark.parametrize("colours", ["light", "dark", "forced"])
def test_axe_finds_no_violation(page: Page, framed_face: bytes, colours: str) -> None:
    if colours == "forced":
        page.emulate_media(forced_colors="active", reduced_motion="reduce")
    else:
        page.emulate_media(color_scheme="dark" if colours == "dark" else "light", reduced_motion="reduce")
    violations = [violation(page)]
    choose(page, file(group(), "group.jpg"))
    expect(page.locator("#faces .face")).to_have_count(len(GROUP))
    violations.append(violation(page))
    page.get_by_role("button", name="Adjust").click()
    page.get_by_text("Move with sliders").click()
    violations.append(violation(page))
    choose(page, file(jpeg(halves(600, 300))))
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()
    violations.append(violation(page))
    frame_by_hand(page)
    violations.append(violation(page))
    warned(page, "not_a_face")
    choose(page, file(framed_face), file(group()), file(jpeg(halves(600, 300))), file(b"no image"))
    expect(page.locator(".tile .problem")).to_be_visible()
    violations.append(violation(page))
    page.locator(".tile").last.click()
    page.get_by_text("Details").click()
    violations.append(violation(page))
    page.locator("#back").click()
    page.locator(".tile").first.click()
    expect(page.get_by_role("button", name="Show anyway")).to_be_visible()
    violations.append(violation(page))
    page.unroute(DETECT)
    page.route(DETECT, lambda route: route.fulfill(status=401, json={"detail": "a key is needed"}))
    choose(page, file(framed_face))
    expect(page.get_by_label("API key")).to_be_visible()
    violations.append(violation(page))
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_role("button", name="Capture")).to_be_enabled()
    violations.append(violation(page))
    assert violations == [[]] * 10


def violation(page: Page) -> list[str]:
    """Return axe's violations on the current page: each rule with its first element."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]


def test_phone_shows_everything_without_scrolling_sideways(
    browser: Browser, server: Server, framed_face: bytes
) -> None:
    phone = browser.new_page(base_url=server.url, viewport=PHONE, has_touch=True, is_mobile=True)
    phone.goto("/")
    for files in (
        [],
        [file(framed_face)],
        [file(group())],
        [file(framed_face), file(b"no image", "a_name_that_is_far_too_long_for_a_tile" * 3)],
    ):
        if files:
            choose(phone, *files)
            expect(phone.locator("#faces .head, .tile .problem").last).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        # A box has the size of its face. The face's answer is a target, too.
        targets = phone.locator("button:visible, input:not(.unseen):visible, summary:visible, a:visible").all()
        small = [target.inner_text() for target in targets if (target.bounding_box() or {"height": 0})["height"] < 44]
        assert small == []
    phone.close()

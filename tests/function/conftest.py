"""What tests of the function share: a browser and the page as it opens, and a storage that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import NoChromiumError, chromium, record
from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.faulty_storage import FaultyStorage, faulty
from tests.screenshots import example
from tests.server import Server


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
    """The opened page. Messages of the browser, such as violations of the content security policy, fail the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto("/")
    yield opened
    # The browser reports every failed request.
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture
def framed_face() -> bytes:
    """A drawn face that fills the image, as a JPEG."""
    return example(0)


@pytest.fixture
def sent(page: Page) -> list[bytes]:
    """Bodies of the page's requests for faces and predictions, in order."""
    return record(page)


@pytest.fixture
def storage(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStorage]:
    """Cloud storage that holds the bundled release, behind a proxy that can make trouble."""
    emulator.upload(FUNCTION / "model", "faulty/1")
    with faulty(emulator) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield proxy


@pytest.fixture
def uri(emulator: Emulator) -> str:
    """The release's address there."""
    return f"gs://{emulator.bucket}/faulty/1"

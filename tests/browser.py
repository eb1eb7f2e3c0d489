"""A real Chromium, with a made-up camera, for tests of the page and for its screenshots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

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

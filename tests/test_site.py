"""The documentation site: its generated pages, and no request to another server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from age_gender.__main__ import parser as client_parser
from docs.site import reference
from serving import release
from serving.settings import BUNDLED_RELEASE, variables
from tests.browser import chromium
from tests.conftest import ROOT
from tests.test_documents import commands
from training.__main__ import parser as training_parser
from training.presets import PRESETS


class Quiet(SimpleHTTPRequestHandler):
    """A file server without a log."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command: list[str | Path] = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    built = subprocess.run(
        [*command, "--config-file", ROOT / "docs" / "site" / "mkdocs.yml"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "docs" / "site" / "mkdocs.yml").read_text()
    listed = set(re.findall(r"\S+\.md$", text.partition("\nnav:")[2], re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= listed, "add the page to nav in docs/site/mkdocs.yml"


def generated() -> Iterator[tuple[str, str]]:
    """Yield each page of the reference with a text that the code defines."""
    for known in variables():
        yield "settings", known.name
    described = reference.openapi()
    for path in described["paths"]:
        if not path.endswith((".css", ".js")):
            yield "http", path
    for name in described["components"]["schemas"]:
        yield "http", name
    for program in (client_parser(), training_parser()):
        for command, options in commands(program).items():
            yield "cli", command
            yield from (("cli", option) for option in options - {"-h", "--help"})
    for preset in PRESETS:
        yield "presets", preset
    for section in json.loads((BUNDLED_RELEASE / release.MANIFEST).read_text()):
        yield "manifest", section


def test_the_reference_holds_what_the_code_defines(site: Path) -> None:
    pages = {path.stem: unescape(path.read_text()) for path in (site / "reference").glob("*.html")}
    assert [(page, text) for page, text in generated() if text not in pages[page]] == []
    assert all("<!-- generated" not in text for text in pages.values())


def test_pages_outside_docs_are_published(site: Path) -> None:
    assert "Adding a head" in (site / "how-to" / "contributing.html").read_text()
    assert 'href="../how-to/infrastructure.html"' in (site / "explanation" / "deployment.html").read_text()


def test_the_site_loads_nothing_from_another_server(url: str) -> None:
    requested: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        for path in ("index.html", "reference/http.html", "explanation/architecture.html"):
            page.goto(f"{url}/{path}", wait_until="networkidle")
        page.locator("[data-md-component=search-query]").click()
        page.keyboard.type("calibration")
        page.locator(".md-search-result__item").first.wait_for()
    assert [address for address in requested if not address.startswith((url, "data:", "blob:"))] == []

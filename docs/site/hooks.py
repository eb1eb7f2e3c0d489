"""MkDocs hooks: fill in the generated reference, and publish pages outside docs/."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# MkDocs loads this file from outside the project.
sys.path[:0] = [str(ROOT), str(ROOT / "function")]

from docs.site import reference  # noqa: E402

# Pages that other tools expect elsewhere in the repository -> their place in the site.
PUBLISHED = {
    "CHANGELOG.md": "reference/changelog.md",
    "CONTRIBUTING.md": "how-to/contributing.md",
    "infra/README.md": "how-to/infrastructure.md",
    "function/model/card.md": "explanation/model-card.md",
}
_PLACES = {place: name for name, place in PUBLISHED.items()}
# A function of reference.py, and the text that stands in its place in the repository.
_MARKER = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_LINK = re.compile(r"\[([^]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the published pages to the site."""
    for name, place in PUBLISHED.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in generated tables, and point links at pages of the site.

    A link to another file of the repository becomes a link to GitLab in a pipeline, and plain text elsewhere.
    """
    place = page.file.src_uri
    source = PurePosixPath(_PLACES.get(place, f"docs/{place}"))
    linked = _LINK.sub(lambda match: _link(match, source, PurePosixPath(place)), markdown)
    return _MARKER.sub(lambda match: getattr(reference, match[1])(), linked)


def _link(match: re.Match[str], source: PurePosixPath, place: PurePosixPath) -> str:
    text, target = match.groups()
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return match[0]
    name = os.path.normpath(source.parent / path)
    if name.startswith("docs/"):
        there = name.removeprefix("docs/")
    elif name in PUBLISHED:
        there = PUBLISHED[name]
    else:
        project = os.environ.get("CI_PROJECT_URL")
        return f"[{text}]({project}/-/blob/{os.environ['CI_COMMIT_SHA']}/{name})" if project else text
    relative = os.path.relpath(there, place.parent)
    return f"[{text}]({relative}{'#' * bool(anchor)}{anchor})"

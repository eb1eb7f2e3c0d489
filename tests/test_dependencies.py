from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LISTS = [
    path for folder in ("function", "training", "tests", "tests/infra") for path in (ROOT / folder).glob("*require*.in")
]


def named() -> set[str]:
    """Return every package in a list or in package.json."""
    lines = [line for path in LISTS for line in path.read_text().splitlines()]
    packages = {match[0] for line in lines if (match := re.match(r"[a-z0-9][a-z0-9-]*", line))}
    npm = json.loads((ROOT / "package.json").read_text())
    return packages | set(npm["dependencies"]) | set(npm["devDependencies"])


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text()
    rows = re.findall(r"^\| (.+?) \| .+ \|$", page, re.MULTILINE)
    explained = {package for row in rows for package in row.split(", ")} - {"package"}
    assert explained == named()

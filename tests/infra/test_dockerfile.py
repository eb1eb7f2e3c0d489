from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert linted.returncode == 0
    assert linted.stdout == ""


def test_images_never_run_as_root() -> None:
    images = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    users = {re.findall(r" AS (\S+)", image)[0]: re.findall(r"^USER (\S+)", image, re.MULTILINE) for image in images}
    # `weights` is a build stage only.
    assert users == {"weights": [], "training": ["10001"], "function": ["10001"]}


def test_dockerignore_includes_copied_folders() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    named = re.sub(r"\$\{(\w+)\}", lambda variable: given[variable[1]], DOCKERFILE)
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", named, re.MULTILINE)
    copied = {re.sub("/.*", "/", source) for line in lines for source in line.split()}
    assert copied >= {"function/", "training/", "package-lock.json"}
    assert [source for source in copied if f"!{source}" not in ignored] == []


def test_dockerignore_includes_the_function_packages_that_training_imports() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = "".join(path.read_text() for path in (ROOT / "training").rglob("*.py"))
    imported = set(re.findall(r"^\s*from (\w+)[.\w]* import", sources, re.MULTILINE))
    packages = {path.parent.name for path in (ROOT / "function").glob("*/__init__.py")} & imported
    assert packages >= {"serving"}
    assert [name for name in packages if f"function/{name}/" in ignored] == []

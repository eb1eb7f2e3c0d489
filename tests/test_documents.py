"""Documents name only what exists: files, headings, targets, commands, options, variables, tests."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from age_gender.__main__ import parser as asking
from training.__main__ import parser as training

ROOT = Path(__file__).parent.parent
PAGES = [
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "infra/README.md", "tests/README.md")
    for path in sorted(ROOT.glob(pattern))
]
FOLDERS = ("function", "training", "infra", "tests", "docs", ".ci")
# Variables of other tools.
FOREIGN = re.compile(r"MLFLOW_TRACKING_TOKEN|GOOGLE_SKIP_SIGNATURE|GITLAB_TOKEN|SSL_CERT_FILE|CI_[A-Z_]+")
# Options of other tools that a sentence names alone.
FOREIGN_OPTIONS = {"--update-secrets"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        aim = page.parent / name if name else page
        assert aim.exists(), target
        # Only pages have headings; Material marks an image of one colour scheme by #only-light or #only-dark.
        assert not anchor or aim.suffix != ".md" or anchor in anchors(aim.read_text()), target


@each_page
def test_files_exist(page: Path) -> None:
    text = re.sub(r"https?://\S+", "", page.read_text())
    below = rf"(?<![\w/.<$-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*[\w*]"
    assert [name for name in re.findall(below, text) if not list(ROOT.glob(name))] == []
    named = {name for code in codes(page) for name in re.findall(r"^[\w-]+\.(?:py|tf|sh|hcl|tftest\.hcl)$", code)}
    assert named <= files()


@each_page
def test_tests_exist(page: Path) -> None:
    for file, test in re.findall(r"`[\w/]*?(test_\w+\.py)::(test_\w+)", page.read_text()):
        found = [path for path in (ROOT / "tests").rglob(file) if f"def {test}(" in path.read_text()]
        assert found, f"{file}::{test}"


@each_page
def test_make_has_the_targets_and_variables(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for code in codes(page):
        for given, target, more in re.findall(r"\bmake((?: [A-Z]+=\S+)*) ([a-z0-9-]+)((?: [A-Z_]+=)?)", code):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), code
            for variable in re.findall(r"[A-Z_]+(?==)", given + more):
                assert variable in makefile, code


@each_page
def test_commands_take_the_options(page: Path) -> None:
    known = {"python -m training": commands(training()), "age-gender": commands(asking())}
    options = {option for group in known.values() for taken in group.values() for option in taken}
    for code in codes(page):
        for program, command, rest in re.findall(r"(python -m training|age-gender) ([a-z][a-z-]*)([^|;#\n]*)", code):
            assert command in known[program], code
            # Apache Beam takes what these do not know.
            beam = command in ("batch", "prepare-beam")
            assert beam or set(re.findall(r"--[a-z][a-z_-]+", rest)) <= known[program][command], code
        if (match := re.match(r"([a-z]+) (?=.*--)", code)) and match[1] in known["python -m training"]:
            assert set(re.findall(r"--[a-z][a-z_-]+", code)) <= known["python -m training"][match[1]], code
        if match := re.match(r"--[a-z][a-z_-]+", code):
            # Apache Beam spells its own with underscores.
            assert match[0] in options | FOREIGN_OPTIONS or "_" in match[0], code


@each_page
def test_modules_can_be_run(page: Path) -> None:
    for module in re.findall(r"python -m (tests[.\w]+)", page.read_text()):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


@each_page
def test_variables_are_read_somewhere(page: Path) -> None:
    for code in codes(page):
        for name in re.findall(r"(?<![\w-])[A-Z][A-Z0-9]*(?:_[A-Za-z0-9]+)+\b", code):
            if name.startswith("TF_VAR_"):
                assert f'variable "{name.removeprefix("TF_VAR_")}"' in source(), name
            else:
                assert FOREIGN.fullmatch(name) or re.search(rf"\b{name}\b", source()), name


@each_page
def test_terraform_has_the_outputs(page: Path) -> None:
    for name in re.findall(r"terraform output -raw (\w+)", page.read_text()):
        assert f'output "{name}"' in source(), name


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitLab and the site name them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def codes(page: Path) -> Iterator[str]:
    """Yield each block of code, continued lines joined, and each span."""
    text = page.read_text()
    block = r"^```\w*\n(.*?)^```$"
    for code in re.findall(block, text, re.MULTILINE | re.DOTALL):
        yield code.replace("\\\n", " ")
    for code in re.findall(r"`([^`]+)`", re.sub(block, "", text, flags=re.MULTILINE | re.DOTALL)):
        yield code.replace("\n", " ")


def commands(program: argparse.ArgumentParser) -> dict[str, set[str]]:
    """Return the options of each command of a program."""
    (group,) = (action for action in program._actions if isinstance(action, argparse._SubParsersAction))
    return {name: set(command._option_string_actions) for name, command in group.choices.items()}


@cache
def files() -> set[str]:
    """Return the names of all files in the project's folders."""
    return {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*")} | {
        path.name for path in ROOT.iterdir()
    }


@cache
def source() -> str:
    """Return all code that may read a variable, except this test."""
    paths = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".tf", ".yml", ".sh"}
    ]
    paths += [ROOT / name for name in ("Makefile", "Dockerfile", ".gitlab-ci.yml", ".ci/run")]
    return "\n".join(path.read_text() for path in paths if path != Path(__file__))

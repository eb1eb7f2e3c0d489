"""What `make` says to a wrong call, before it sets anything up."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from training.presets import PRESETS

ROOT = Path(__file__).parent.parent


def refused(*arguments: str) -> str:
    """The one line that says what is wrong."""
    done = subprocess.run(["make", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    said, by_make = done.stderr.splitlines()
    assert by_make.startswith("make: ***")
    return said


@pytest.mark.parametrize("port", ["abc", "70000", "-1"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    assert re.fullmatch(
        rf"port {port} cannot be used \(.+\); choose another: make run PORT=\d+", refused("run", f"PORT={port}")
    )


def test_a_busy_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be used (OSError: [Errno 98] Address already in use)" in refused(
            "run", f"PORT={port}"
        )


def test_faces_that_are_missing_are_named() -> None:
    assert refused("pipeline") == "make pipeline needs DATA=<folder, .tar, .tar.gz or .zip of faces>"
    assert refused("pipeline", "DATA=nowhere").startswith("DATA=nowhere does not exist; give ")


def test_an_unknown_preset_is_told_the_known_ones() -> None:
    said = refused("pipeline", "DATA=tests", "PRESET=nope")
    assert said == f"PRESET=nope is none; choose {', '.join([*PRESETS][:-1])} or {[*PRESETS][-1]}"


def test_help_lists_every_target_that_is_explained() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    explained = re.findall(r"^([a-z0-9-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in listed.splitlines()] == explained

"""A long loop says how far it is, at a terminal and in a log."""

from __future__ import annotations

import sys
import time

import pytest

from training.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_about_every_ten_seconds(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress(range(100), "epoch 1/2", "step"):
        clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 1/2: step 10 of 100 (10%), 1 a second"
    assert len(lines) == 10


def test_a_short_loop_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress(range(9), "short", "step"):
        clock[0] += 1
    assert capsys.readouterr().err == ""


def test_an_unknown_length_is_left_out(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress(iter(range(10)), "prepare", "face"):
        clock[0] += 2
    assert capsys.readouterr().err.splitlines()[0] == "prepare: face 5, 0.5 a second"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), "prepare", "face")) == [0, 1, 2]
    assert "prepare: " in capsys.readouterr().err

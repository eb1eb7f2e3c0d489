"""Worker processes give the result of one process, and end with their command, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.config import PrepareConfig
from training.data import decoding, workers
from training.errors import StepError
from training.faces import write_faces
from training.prepare import prepare

CONFIG = PrepareConfig(size=32, shard_faces=100, validation=0.2, test=0.2)
COUNT = 150
_WAIT_SECONDS = 30


def squares() -> Callable[[int], int]:
    return square


def square(number: int) -> int:
    # The first task is the slowest.
    time.sleep(0.5 if number == 0 else 0.01)
    return number * number


def refusal() -> Callable[[int], int]:
    raise StepError("a file is missing")


def refuse_seven() -> Callable[[int], int]:
    return refuse_one


def refuse_one(number: int) -> int:
    if number == 7:
        raise OSError(28, "No space left on device", "/somewhere")
    return number


def killed() -> Callable[[int], int]:
    return kill_itself


def kill_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def ended() -> Callable[[int], int]:
    return end_itself


def end_itself(number: int) -> int:
    os._exit(number)


def children(pid: int) -> set[int]:
    """The processes that a process started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def spawned(pid: int) -> set[int]:
    """The workers among the processes that a process started."""

    def command(child: int) -> bytes:
        try:
            return (Path("/proc") / str(child) / "cmdline").read_bytes()
        except OSError:
            return b""

    return {child for child in children(pid) if b"spawn_main" in command(child)}


def test_results_come_in_order_whichever_is_done_first() -> None:
    assert list(workers.in_order(squares, range(40))) == [(number, number * number) for number in range(40)]
    assert list(workers.in_order(squares, [])) == []
    assert spawned(os.getpid()) == set()


def test_few_tasks_are_read_ahead() -> None:
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    with closing(workers.in_order(squares, tasks())) as results:
        next(results)
        assert len(read) < 10 * workers.processors()
    assert spawned(os.getpid()) == set()


@pytest.mark.parametrize(
    ("setup", "error", "message"),
    [
        (refusal, StepError, "a file is missing"),
        (refuse_seven, OSError, "No space left on device"),
        (killed, StepError, "was killed; the kernel does this when memory runs out"),
        (ended, StepError, "ended with exit code"),
    ],
)
def test_what_ends_a_worker_ends_all(
    setup: Callable[[], Callable[[int], int]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(workers.in_order(setup, range(100)))
    assert spawned(os.getpid()) == set()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, and files that are none."""
    folder = tmp_path_factory.mktemp("workers") / "faces"
    write_faces(folder, COUNT)
    (folder / "notes.txt").write_bytes(b"hello")
    (folder / "20_1_1_20170101000000999.jpg").write_bytes(b"no image")
    shutil.copy(next(folder.glob("*.chip.jpg")), folder / "9_0_0_20180101000000000.jpg")
    return folder


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_processes_write_what_one_writes(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    given = faces
    if source == "archive":
        given = tmp_path / "faces.tar"
        with tarfile.open(given, "w") as tar:
            tar.add(faces, "")
    monkeypatch.setattr(decoding, "_TASK_FILES", 8)
    alone = prepare(given, tmp_path / "alone", CONFIG)
    monkeypatch.setattr(decoding, "_FEW", 2)
    assert prepare(given, tmp_path / "together", CONFIG) == alone
    for path in (tmp_path / "alone").iterdir():
        if path.is_file():
            assert (tmp_path / "together" / path.name).read_bytes() == path.read_bytes()


@pytest.fixture
def running(faces: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The command with more faces than it can prepare soon, in a session of its own, while its workers decode."""
    many = tmp_path / "many"
    many.mkdir()
    chips = sorted(faces.glob("*.chip.jpg"))
    for number in range(40_000):
        (many / f"30_1_1_{20170101000000000 + number}.jpg").symlink_to(chips[number % COUNT])
    command = [sys.executable, "-m", "training", "prepare", "--data", str(many), "--work", str(tmp_path / "work")]
    # Shells start background jobs with Ctrl-C ignored, which children inherit, and such a job may run these tests.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, former)
    pixels = tmp_path / "work" / "data.partial" / "staging.pixels"
    try:
        until(lambda: pixels.is_file() and pixels.stat().st_size > 0)
        yield process, tmp_path / "work"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_an_interrupt_ends_the_command_with_a_sentence_and_leaves_nothing(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, work = running
    started = children(process.pid)
    assert len(spawned(process.pid)) == workers.processors()
    # As Ctrl-C in a terminal: every process of the group gets it.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=_WAIT_SECONDS)
    assert (process.returncode, said) == (130, "prepare: interrupted\n")
    until(lambda: not any(map(alive, started)))
    assert list(work.iterdir()) == []


@pytest.mark.slow
def test_a_killed_worker_ends_the_command_with_a_sentence(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, work = running
    started = children(process.pid)
    os.kill(min(spawned(process.pid)), signal.SIGKILL)
    _, said = process.communicate(timeout=_WAIT_SECONDS)
    assert process.returncode == 1
    assert said.startswith("prepare: a worker process was killed; the kernel does this when memory runs out")
    until(lambda: not any(map(alive, started)))
    assert list(work.iterdir()) == []


@pytest.mark.slow
def test_no_worker_survives_a_killed_command(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, _ = running
    started = children(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, started)))

"""Memory: budgets, and the peak of an instance that gets the most expensive requests at once."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving import connections
from serving.formats import FORMATS
from serving.memory import AT_REST, Budget, peak
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError
from tests.conftest import FUNCTION
from tests.function import costly_requests
from tests.server import serve


def test_a_budget_is_granted_in_the_order_of_the_requests() -> None:
    budget, order = Budget(1), []

    def wait(number: int) -> None:
        with budget.reserve(1, Deadline.after(10)):
            order.append(number)

    with budget.reserve(1, Deadline.after(10)):
        threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_reservations_never_exceed_the_budget() -> None:
    budget, held, most = Budget(7), [0], [0]
    counting = threading.Lock()

    def work(amount: int) -> None:
        for _ in range(50):
            with budget.reserve(amount, Deadline.after(10)):
                with counting:
                    held[0] += amount
                    most[0] = max(most[0], held[0])
                time.sleep(0.0001)
                with counting:
                    held[0] -= amount

    threads = [threading.Thread(target=work, args=(1 + number % 4,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held[0] == 0
    assert 4 < most[0] <= 7


def test_a_reservation_fails_at_its_deadline_and_is_forgotten() -> None:
    budget = Budget(2)
    granted = threading.Event()

    def small() -> None:
        with budget.reserve(1, Deadline.after(10)):
            granted.set()

    with budget.reserve(1, Deadline.after(10)):
        waiting = threading.Thread(target=small)
        with pytest.raises(DeadlineError), budget.reserve(2, Deadline.after(0.3)):
            raise AssertionError("only one unit is free")
        waiting.start()
        assert granted.wait(5)
    waiting.join()
    with budget.reserve(2, Deadline.after(0)):
        pass


def test_an_amount_above_the_budget_takes_all_of_it() -> None:
    budget = Budget(2)
    for _ in range(2):
        with (
            budget.reserve(9, Deadline.after(0)),
            pytest.raises(DeadlineError),
            budget.reserve(1, Deadline.after(0)),
        ):
            raise AssertionError("no unit is free")


def test_an_amount_of_nothing_never_waits() -> None:
    budget = Budget(1)
    with budget.reserve(1, Deadline.after(0)), budget.reserve(0, Deadline.after(0)):
        pass


LIMIT = 512 * 2**20
"""Bytes of memory that README deploys the function with."""


@contextmanager
def limited_python(folder: Path) -> Iterator[Path]:
    """Return a Python whose processes the kernel ends above LIMIT, or the usual one where no cgroup can be made."""
    found = re.search(r"^\d+:(memory|):(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    name = "memory.limit_in_bytes" if found and found[1] else "memory.max"
    group = Path("/sys/fs/cgroup", *(part.strip("/") for part in (found.groups() if found else ()))) / "test-memory"
    try:
        group.mkdir()
        (group / name).write_text(str(LIMIT))
    except OSError:
        yield Path(sys.executable)
        return
    script = folder / "python"
    script.write_text(f'#!/bin/sh\necho $$ >{group}/cgroup.procs\nexec {sys.executable} "$@"\n')
    script.chmod(0o700)
    try:
        yield script
    finally:
        group.rmdir()


def test_the_limits_together_allow_no_more_than_the_memory_of_a_deployment() -> None:
    settings = Settings()
    assert 0.9 * LIMIT < peak(settings, connections.buffer_bytes(settings), processors=2) <= LIMIT


@pytest.mark.slow
@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow is built without AVIF")
def test_the_most_expensive_requests_at_once_stay_within_the_memory_of_a_deployment(
    tmp_path: Path, face: bytes
) -> None:
    with (
        limited_python(tmp_path) as python,
        serve(FUNCTION, python) as server,
        costly_requests.Memory(server) as memory,
    ):
        predicted = server.post(face).json()
        for name, statuses in costly_requests.send_all(server):
            assert statuses <= {200, 400, 413, 415, 422, 503}, name
            assert memory.peak < LIMIT, name
        assert server.post(face).json() == predicted
        time.sleep(0.5)
        assert memory.now() < AT_REST


@pytest.mark.slow
@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow is built without AVIF")
def test_searches_of_the_most_expensive_images_stay_within_the_memory_of_a_deployment(tmp_path: Path) -> None:
    photo = costly_requests.photographs()[0]
    with (
        limited_python(tmp_path) as python,
        serve(FUNCTION, python) as server,
        costly_requests.Memory(server) as memory,
    ):
        found = server.post(photo, path="/detect").json()
        assert len(found["predictions"][0]["faces"]) == 2
        assert 200 in costly_requests.send_photographs(server) <= {200, 503}
        assert memory.peak < LIMIT
        for name, statuses in costly_requests.send_all(server, "/detect"):
            assert statuses <= {200, 400, 413, 415, 422, 503}, name
            assert memory.peak < LIMIT, name
        assert server.post(photo, path="/detect").json() == found
        time.sleep(0.5)
        assert memory.now() < AT_REST

"""Worker processes: one function for many tasks, on all processors, with the results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar

from training.errors import StepError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

Setup = Callable[[], Callable[[_Task], _Result]]
"""Function that a worker calls once. It returns the function for the tasks. Both must be importable by their names."""

# Tasks that a worker has at once: the second waits in its pipe, so that the worker never waits for this process.
_QUEUED = 2
# Tasks for each worker that are read before the oldest one is done.
_AHEAD = 4
_END_SECONDS = 5

# A fork would copy the locks of this process's threads in whatever state they are.
_PROCESSES = multiprocessing.get_context("spawn")


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(setup: Setup[_Task, _Result], tasks: Iterable[_Task]) -> Generator[tuple[_Task, _Result], None, None]:
    """Yield each task with its result, in the order of the tasks.

    Tasks and results travel through pipes, so results must be small. Close the iterator to end the workers early.

    Raises:
        StepError: a worker was killed.
        Exception: what `setup` or its function raised in a worker.
    """
    workers: list[_Worker[_Task, _Result]] = []
    try:
        for _ in range(processors()):
            workers.append(_Worker(setup))
        yield from _exchange(workers, tasks)
    finally:
        for worker in workers:
            worker.end()


class _Outcome(NamedTuple, Generic[_Result]):
    """The result of a task, or the error that it raised."""

    results: tuple[_Result, ...]
    """Of one result, or none."""
    error: Exception | None = None


class _Job(Generic[_Task, _Result]):
    """A task, and its outcome as soon as it is known."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.outcome: _Outcome[_Result] | None = None


class _Worker(Generic[_Task, _Result]):
    """One process, and what it has to do."""

    def __init__(self, setup: Setup[_Task, _Result]) -> None:
        self.wire, theirs = _PROCESSES.Pipe()
        self.jobs: deque[_Job[_Task, _Result]] = deque()
        self._process = _PROCESSES.Process(target=_serve, args=(theirs, setup), daemon=True)
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    def send(self, job: _Job[_Task, _Result]) -> None:
        """Give it another task."""
        try:
            self.wire.send(job.task)
        except OSError as error:
            raise self._loss() from error
        self.jobs.append(job)

    def receive(self) -> None:
        """Take the outcome of its oldest task."""
        try:
            outcome: _Outcome[_Result] = self.wire.recv()
        except (EOFError, OSError) as error:
            raise self._loss() from error
        self.jobs.popleft().outcome = outcome

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self.wire.close()
        self._process.close()

    def _loss(self) -> StepError:
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return StepError(
                "a worker process was killed; the kernel does this when memory runs out. Use a machine with more "
                f"memory, or fewer than {processors()} processors, for example with `taskset --cpu-list 0`"
            )
        return StepError(f"a worker process ended with exit code {code}; see its messages above")


def _exchange(workers: list[_Worker[_Task, _Result]], tasks: Iterable[_Task]) -> Iterator[tuple[_Task, _Result]]:
    jobs: Iterator[_Job[_Task, _Result]] = map(_Job, tasks)
    window: deque[_Job[_Task, _Result]] = deque()
    more = True
    while more or window:
        while more and len(window) < _AHEAD * len(workers):
            worker = min(workers, key=lambda worker: len(worker.jobs))
            if len(worker.jobs) == _QUEUED:
                break
            job = next(jobs, None)
            if job is None:
                more = False
            else:
                worker.send(job)
                window.append(job)
        while window and (outcome := window[0].outcome):
            if outcome.error:
                raise outcome.error
            yield window.popleft().task, outcome.results[0]
        if window:
            ready = wait([worker.wire for worker in workers if worker.jobs])
            for worker in workers:
                if worker.wire in ready:
                    worker.receive()


def _serve(wire: Connection[Any, Any], setup: Setup[Any, Any]) -> None:
    """Do tasks until the other end of the pipe is closed, as it is when the parent ends in any way."""
    work: Callable[[Any], Any] | None = None
    try:
        while True:
            task = wire.recv()
            try:
                work = work or setup()
                outcome = _Outcome((work(task),))
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                outcome = _Outcome((), error)
            wire.send(outcome)
    except (EOFError, OSError):
        # An interrupted parent may also leave half a message.
        return


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let a process that starts meanwhile ignore Ctrl-C from its first moment: its parent ends it."""
    # The first process would start the tracker, which allows interrupts again.
    resource_tracker.ensure_running()
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)

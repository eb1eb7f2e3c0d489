"""FifoSemaphore and deadlines."""

from __future__ import annotations

import threading
import time

import pytest

from serving.timeouts import Deadline, DeadlineError, FifoSemaphore


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order = FifoSemaphore(1), []

    def wait(number: int) -> None:
        with turns.turn(Deadline.after(10)):
            order.append(number)

    with turns.turn(Deadline.after(10)):
        threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_no_more_turns_are_held_at_once_than_there_are() -> None:
    turns, held, most = FifoSemaphore(3), [0], [0]
    counting = threading.Lock()

    def work() -> None:
        for _ in range(50):
            with turns.turn(Deadline.after(10)):
                with counting:
                    held[0] += 1
                    most[0] = max(most[0], held[0])
                time.sleep(0.0001)
                with counting:
                    held[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (held[0], most[0]) == (0, 3)


def test_who_gets_no_turn_in_time_is_told_so_and_forgotten() -> None:
    turns = FifoSemaphore(1)
    with turns.turn(Deadline.after(10)), pytest.raises(DeadlineError), turns.turn(Deadline.after(0.05)):
        raise AssertionError("there is only one turn")
    with turns.turn(Deadline.after(0)):
        pass

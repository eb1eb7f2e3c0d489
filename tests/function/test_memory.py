"""Memory: budgets, and the peak of an instance that gets the most expensive requests at once."""

from __future__ import annotations

import threading
import time

import pytest

from serving.memory import Budget
from serving.timeouts import Deadline, DeadlineError


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

"""Turns and deadlines."""

from __future__ import annotations

import socket
import threading
import time

from serving.timeouts import BodyReadTimeout, Deadline


def test_a_read_that_trickles_ends_at_the_deadline() -> None:
    here, there = socket.socketpair()
    began = time.monotonic()
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.05):
            there.send(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        with BodyReadTimeout().reading(here, Deadline.after(0.3)):
            while here.recv(10):
                pass
    finally:
        stop.set()
        sender.join()
    assert 0.3 <= time.monotonic() - began < 2


def test_a_read_in_time_is_left_alone() -> None:
    here, there = socket.socketpair()
    watch = BodyReadTimeout()
    for _ in range(3):
        with watch.reading(here, Deadline.after(5)):
            there.send(b"x")
            assert here.recv(10) == b"x"
        time.sleep(0.3)
    there.send(b"y")
    assert here.recv(10) == b"y"

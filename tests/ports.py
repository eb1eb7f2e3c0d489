"""Ports for servers that tests start."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress

# Below the ports that the system gives to outgoing connections, one of which could come between.
_FIRST, _END = 10_000, 32_000
# Its own: hypothesis sets the common one back to the same number again and again.
_DICE = random.Random()  # noqa: S311


def free_port() -> int:
    """A port of the loopback address that nobody listens on; processes that share the tests draw different ones."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = _DICE.randrange(_FIRST + worker, _END, workers)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port

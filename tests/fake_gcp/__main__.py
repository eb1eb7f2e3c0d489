"""Run the fake Google Cloud as a process; see the package."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.fake_gcp.server import cloud


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_gcp", description="A fake Google Cloud on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port (default: any free port)")
    parser.add_argument("--state", type=Path, required=True, help="folder of the built sources")
    parser.add_argument("--service", action="append", default=[], help="projects/P/locations/R/services/NAME")
    for name in ("sources", "releases"):
        parser.add_argument(f"--{name}", required=True, help=f"address of the storage of {name}")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with cloud(options.state, options.sources, options.releases, options.port) as running:
        for name in options.service:
            running.create_service(name)
        print(running.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()

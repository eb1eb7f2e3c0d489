"""From a process's start to its first answer: the function, bundled and fetched, against a hello world.

python -m tests.bench_cold [--rounds 15] [--python .venv-run/bin/python]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import FUNCTION, ROOT
from tests.emulator import Emulator, cloud_storage
from tests.ports import free_port
from training.faces import draw

POLL_SECONDS = 0.002
GIVE_UP_SECONDS = 60
HELLO, BUNDLED, FETCHED = "hello world", "bundled release", "release from cloud storage"

_HELLO_WORLD = """
def predict(request):
    return "hello"
"""


@dataclass(frozen=True)
class StartVariant:
    """A function to start: its folder and its environment variables."""

    source: Path
    environment: Mapping[str, str]


def cold_start(python: Path, rounds: int = 15) -> dict[str, list[float]]:
    """Seconds from a process's start to its first answer, one a round; the variants take turns."""
    face = draw(age=30, gender=1, ethnicity=2, seed=7)
    with tempfile.TemporaryDirectory() as scratch, cloud_storage() as storage:
        variants = _variants(Path(scratch), storage)
        subprocess.run([python, "-m", "compileall", "-q", scratch], check=True)
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for turn in range(rounds + 1):
            for name, variant in variants.items():
                taken = _first_response(python, variant, face)
                # The first round only fills the disk's cache.
                if turn:
                    seconds[name].append(taken)
    return seconds


def _variants(scratch: Path, storage: Emulator) -> dict[str, StartVariant]:
    hello, function = scratch / "hello", scratch / "function"
    hello.mkdir()
    (hello / "main.py").write_text(_HELLO_WORLD)
    shutil.copytree(FUNCTION, function, ignore=shutil.ignore_patterns("__pycache__"))
    storage.upload(FUNCTION / "model", "1")
    fetched = {
        "STORAGE_EMULATOR_HOST": storage.url,
        "MODEL_URI": f"gs://{storage.bucket}/1",
        "MODEL_SHA256": hashlib.sha256((FUNCTION / "model" / "model.tflite").read_bytes()).hexdigest(),
    }
    return {
        HELLO: StartVariant(hello, {}),
        BUNDLED: StartVariant(function, {}),
        FETCHED: StartVariant(function, fetched),
    }


def _first_response(python: Path, variant: StartVariant, face: bytes) -> float:
    port = free_port()
    command = [python.parent / "functions-framework", "--source", variant.source / "main.py", "--target", "predict"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(
        [*map(str, command), *address],
        env={"PATH": "/usr/bin:/bin", **variant.environment},
        cwd=variant.source,
        stdout=subprocess.DEVNULL,
    )
    try:
        while time.monotonic() < began + GIVE_UP_SECONDS and process.poll() is None:
            if _predictions(port, face):
                return time.monotonic() - began
            time.sleep(POLL_SECONDS)
    finally:
        process.terminate()
        process.wait()
    raise AssertionError(f"{variant} does not answer; its exit code is {process.returncode}")


def _predictions(port: int, face: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP_SECONDS)
    try:
        connection.request("POST", "/", face, {"Content-Type": "image/jpeg"})
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    """Print the table of docs/explanation/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="starts of each variant")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-run/bin/python", help="the deployed environment's")
    options = parser.parse_args()
    measured = cold_start(options.python, options.rounds)
    print(f"{'median of ' + str(options.rounds):<28} {'ms':>6} {'quartiles':>12} {'ratio':>6}")
    for name, seconds in measured.items():
        lower, median, upper = (round(1000 * quartile) for quartile in statistics.quantiles(seconds, n=4))
        # Rounds are compared one by one, so that what else the machine does falls on both sides.
        ratio = statistics.median(mine / hello for mine, hello in zip(seconds, measured[HELLO], strict=True))
        print(f"{name:<28} {median:>6} {f'{lower} to {upper}':>12} {ratio:>6.2f}")


if __name__ == "__main__":
    main()

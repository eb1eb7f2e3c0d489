"""Serving overhead, measured row by row: `make bench`.

Most rows are ratios of two measurements taken in turns on the same machine. The benchmark needs an idle machine.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from serving import images, release
from serving.predictor import Predictor
from tests.bench_cold import BUNDLED, FETCHED, HELLO, cold_start
from tests.function import costly_requests
from tests.photos import background, drawn_face, with_faces
from tests.server import Server, serve
from training.faces import draw

ROOT = Path(__file__).parent.parent
FUNCTION = ROOT / "function"
# The deployed environment.
PYTHON = ROOT / ".venv-run" / "bin" / "python"
HELLO_WORLD = "def predict(request):\n    request.get_data()\n    return 'hello'\n"

ROUNDS = 9
RUNS = 60
WARM_UP = 20
CLIENTS = 16
BATCH = 32
JPEG, JSON = "image/jpeg", "application/json"


def main() -> None:
    """Print the table of docs/explanation/performance.md."""
    started = cold_start(PYTHON)
    for name, bound in ((BUNDLED, "at most 1.5"), (FETCHED, "at most 1.7")):
        ratios = [ours / theirs for ours, theirs in zip(started[name], started[HELLO], strict=True)]
        _report(f"cold start, {name}, against a hello world", ratios, bound)
    with tempfile.TemporaryDirectory() as scratch:
        hello = Path(scratch) / "hello"
        hello.mkdir()
        (hello / "main.py").write_text(HELLO_WORLD)
        _report("memory once serving, MB more than a hello world", _memory(hello, clients=1), "at most 40")
        _report(f"the same after {CLIENTS} clients at once", _memory(hello, CLIENTS), "for information")
        with _ours() as ours, costly_requests.Memory(ours) as memory:
            for _ in costly_requests.send_all(ours):
                pass
            print(f"peak memory of the most expensive requests at once: {memory.peak / 2**20:.0f} MiB; at most 512")
        _detection()
        with _ours() as ours, _theirs(hello) as theirs:
            _report("one warm request against its work and a hello world", _warm(ours, theirs), "at most 1.2")
            _report("a 12-megapixel JPEG, its extra time against the bare decode's", _large(ours), "at most 1.2")
            _report(f"an image in a batch of {BATCH} against one alone", _batch(ours), "at most 0.7")
        with _on({1}), _ours() as ours, _theirs(hello) as theirs:
            rates = _throughput(ours, theirs)
            _report(f"throughput of one processor at {CLIENTS} clients, against the same sum", rates, "at least 0.8")


def _detection() -> None:
    """Print the rows of whole images."""
    with _ours() as ours:
        for name, image, bound in _photos():
            ratios = [
                _p50_of(ours, image, runs=15, path="/detect") / _p50_of(ours, image, runs=15) for _ in range(ROUNDS)
            ]
            _report(f"/detect against /predict, one face, {name}", ratios, bound)
    _report("memory once /detect is used, MB more than before", _memory_of_detection(), "at most 15")
    with _ours() as ours, costly_requests.Memory(ours) as memory:
        costly_requests.send_photographs(ours)
        clients = costly_requests.PHOTO_CLIENTS
        print(f"peak memory of {clients} clients with photographs: {memory.peak / 2**20:.0f} MiB; at most 512")


def _photos() -> Iterator[tuple[str, bytes, str]]:
    """Return photographs of one face: name, JPEG and bound."""
    face = _chip()
    yield "200x200 pixels", _jpeg(face), "at most 3.5"
    for size, bound in (((1155, 866), "at most 4"), ((4000, 3000), "at most 2.5")):
        side = size[1] // 3
        photo = with_faces(background(*size), [(face, (size[0] // 2, size[1] // 4, side))])
        yield f"{size[0]}x{size[1]} pixels", _jpeg(photo), bound


def _chip() -> Image.Image:
    """Return a face of UTKFace, or a drawn one without UTKFACE_DIR."""
    folder = os.environ.get("UTKFACE_DIR")
    if folder is None:
        return drawn_face().resize((200, 200))
    return Image.open(sorted(Path(folder).glob("30_*.jpg"))[0]).convert("RGB")


def _memory_of_detection() -> list[float]:
    """Return megabytes, as PSS of all processes, that one client's searches add."""
    more = []
    for _ in range(5):
        with _ours() as server:
            before = _pss(server, clients=1)
            more.append(_pss(server, clients=1, path="/detect") - before)
    return more


def _ours() -> AbstractContextManager[Server]:
    """Serve the function as deployed, with one log line per request."""
    return serve(FUNCTION, PYTHON, stderr=subprocess.DEVNULL, LOG_LEVEL="INFO")


def _theirs(hello: Path) -> AbstractContextManager[Server]:
    return serve(hello, PYTHON, ready="/", stderr=subprocess.DEVNULL)


def _report(name: str, values: list[float], bound: str) -> None:
    lower, middle, upper = statistics.quantiles(values, n=4)
    print(f"{name}: {middle:.2f} (quartiles {lower:.2f} to {upper:.2f}, n = {len(values)}); {bound}", flush=True)


def _memory(hello: Path, clients: int) -> list[float]:
    """Return megabytes more than a hello world, as PSS of all processes, after requests of `clients` at once."""
    more = []
    for _ in range(5):
        with _ours() as server:
            ours = _pss(server, clients)
        with _theirs(hello) as server:
            more.append(ours - _pss(server, clients))
    return more


def _pss(server: Server, clients: int, path: str = "/predict") -> float:
    face = _face()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: server.post(face, path=path), range(100)))
    parent = psutil.Process(server.process.pid)
    return float(sum(each.memory_full_info().pss for each in (parent, *parent.children(recursive=True)))) / 1e6


def _warm(ours: Server, theirs: Server) -> list[float]:
    face = _face()
    direct = _direct()
    ratios = []
    for _ in range(ROUNDS):
        work = _p50(lambda: direct(face)) + _p50_of(theirs, face)
        ratios.append(_p50_of(ours, face) / work)
    return ratios


def _throughput(ours: Server, theirs: Server) -> list[float]:
    """Run both servers on one processor, the clients and the direct work on another."""
    face = _face()
    direct = _direct()
    with _on({0}):
        ratios = []
        for _ in range(ROUNDS):
            work = _p50(lambda: direct(face)) + _p50_of(theirs, face)
            ratios.append(_rate(ours, face) * work)
        return ratios


def _rate(server: Server, face: bytes) -> float:
    """Return the requests per second of CLIENTS concurrent clients."""
    share = 25

    def client(_: int) -> None:
        with _connection(server) as ask:
            for _ in range(share):
                ask(face, JPEG)

    with ThreadPoolExecutor(CLIENTS) as clients:
        began = time.perf_counter()
        list(clients.map(client, range(CLIENTS)))
        return CLIENTS * share / (time.perf_counter() - began)


def _large(ours: Server) -> list[float]:
    small, large = _face(), _mosaic()
    ratios = []
    for _ in range(ROUNDS):
        bare = _p50(lambda: _bare(large), 15) - _p50(lambda: _bare(small), 15)
        ratios.append((_p50_of(ours, large, runs=15) - _p50_of(ours, small, runs=15)) / bare)
    return ratios


def _bare(jpeg: bytes) -> Image.Image:
    """Decode in the cheapest correct way: reduced by JPEG to at least twice the side, then resized once."""
    image = Image.open(io.BytesIO(jpeg))
    image.draft("RGB", (256, 256))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((128, 128), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _batch(ours: Server) -> list[float]:
    face = _face()
    body = json.dumps({"instances": [{"b64": base64.b64encode(face).decode()}] * BATCH}).encode()
    return [_p50_of(ours, body, JSON, runs=8) / BATCH / _p50_of(ours, face) for _ in range(ROUNDS)]


def _direct() -> Callable[[bytes], object]:
    """Return a function that decodes, resizes and runs the model in this process, without HTTP and calibration."""
    predictor = Predictor(release.load(str(FUNCTION / "model")))
    return lambda jpeg: predictor.run(images.decode(jpeg, predictor.release.size)[None])


def _p50_of(server: Server, body: bytes, content_type: str = JPEG, runs: int = RUNS, path: str = "/predict") -> float:
    with _connection(server, path) as ask:
        return _p50(lambda: ask(body, content_type), runs)


def _p50(call: Callable[[], object], runs: int = RUNS) -> float:
    """Return the median of seconds."""
    times = []
    for _ in range(WARM_UP * runs // RUNS + runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times[-runs:])


@contextmanager
def _connection(server: Server, path: str = "/predict") -> Iterator[Callable[[bytes, str], bytes]]:
    """Open a persistent connection, and return a function that sends a request over it."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)

    def ask(body: bytes, content_type: str) -> bytes:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        data = response.read()
        assert response.status == 200, data
        return data

    try:
        yield ask
    finally:
        connection.close()


@contextmanager
def _on(processors: set[int]) -> Iterator[None]:
    """Pin this process, and processes it starts meanwhile, to these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _face() -> bytes:
    """Return a JPEG of 200x200 pixels, the size of UTKFace's images."""
    return _jpeg(Image.open(io.BytesIO(draw(30, 1, 2, seed=7))).resize((200, 200)))


def _mosaic() -> bytes:
    """Return a JPEG of 4000x3000 pixels with the detail of a photograph."""
    tiles = [np.asarray(Image.open(io.BytesIO(draw(age, age % 2, age % 5, seed=age)))) for age in range(100)]
    rows = [np.concatenate([tiles[(7 * row + column) % 100] for column in range(40)], axis=1) for row in range(30)]
    return _jpeg(Image.fromarray(np.concatenate(rows)))


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()

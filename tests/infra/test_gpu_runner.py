"""The start of the GPU runner, with recorded commands in place of the machine's."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra.conftest import INFRA

_BINARY = b'#!/bin/sh\necho runner "$@" >> calls\n'
_RECORDED = ("systemctl", "iptables", "shutdown")


@dataclass(frozen=True)
class Machine:
    """A folder with the commands of the machine."""

    folder: Path

    def start(self, sha256: str) -> list[str]:
        """Run the script. Return the commands that it called."""
        attributes = {
            "runner-version": "19.3.0",
            "runner-sha256": sha256,
            "token-secret": "secret",
            "gitlab-url": "https://gitlab.com",
        }
        cases = "\n".join(f'*/{name}) echo "{value}" ;;' for name, value in attributes.items())
        download = f'*binaries*) cp "{self.folder}/download" "$3"; echo download >> calls ;;'
        self._command("curl", f'for address; do :; done\ncase "$address" in\n{cases}\n{download}\nesac')
        self._command("gcloud", "echo token")
        for name in _RECORDED:
            self._command(name, f'echo {name} "$@" >> calls')
        script = (INFRA / "gpu_runner.sh").read_text().replace("/usr/local/bin", str(self.folder / "bin"))
        subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={"PATH": f"{self.folder / 'commands'}:/usr/bin:/bin"},
            capture_output=True,
            check=False,
        )
        return (self.folder / "calls").read_text().splitlines()

    def _command(self, name: str, body: str) -> None:
        path = self.folder / "commands" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("bin", "commands"):
        (tmp_path / name).mkdir()
    (tmp_path / "download").write_bytes(_BINARY)
    return Machine(tmp_path)


def test_containers_do_not_reach_the_metadata_server_before_the_first_job_runs(machine: Machine) -> None:
    calls = machine.start(hashlib.sha256(_BINARY).hexdigest())
    assert calls[:2] == [
        "systemctl start docker",
        "iptables -I DOCKER-USER -d 169.254.169.254 -p tcp ! --dport 53 -j REJECT",
    ]
    assert calls[2] == "download"
    assert calls[3].startswith("runner run-single ")
    assert calls[4:] == ["shutdown -h now"]


def test_a_binary_with_another_digest_never_runs(machine: Machine) -> None:
    assert machine.start("0" * 64)[2:] == ["download", "shutdown -h now"]


def test_another_version_replaces_the_binary_of_an_earlier_start(machine: Machine) -> None:
    (machine.folder / "bin" / "gitlab-runner").write_text("earlier")
    assert "download" in machine.start(hashlib.sha256(_BINARY).hexdigest())


def test_a_binary_that_is_there_is_not_downloaded_again(machine: Machine) -> None:
    path = machine.folder / "bin" / "gitlab-runner"
    path.write_bytes(_BINARY)
    path.chmod(0o755)
    assert "download" not in machine.start(hashlib.sha256(_BINARY).hexdigest())

"""The four commands as people and jobs type them, one after the other."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.cloud.server import Cloud
from tests.delivery.conftest import FIRST, SECOND, SERVICE, training
from training.registry import Registry


def model(double: Cloud) -> str:
    version: str = httpx.get(f"{double.url}/run/{SERVICE.name}/health").json()["model"]["version"]
    return version


def revision(env_file: Path) -> str:
    return dict(line.split("=", 1) for line in env_file.read_text().splitlines())["REVISION"]


def test_a_release_goes_live_and_back_by_four_commands(double: Cloud, registry: Registry, tmp_path: Path) -> None:
    env, where = tmp_path / "deploy.env", ("--service", SERVICE, "--registry", registry.uri)
    for version in (FIRST, SECOND):
        done = training("deploy", *where, "--release", version, "--env-file", env, "--allow-unsigned")
        assert done.returncode == 0, done.stderr
        done = training("verify", "--service", SERVICE, "--revision", revision(env))
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        done = training("rollout", *where, "--revision", revision(env), "--minutes", 0.01)
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert model(double) == version
    done = training("rollback", *where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert model(double) == FIRST
    assert "production: " + FIRST in done.stdout

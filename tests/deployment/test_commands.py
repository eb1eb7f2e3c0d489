"""The deployment commands, run as processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deployment.conftest import FIRST, SECOND, Setup, training


@pytest.mark.slow
def test_commands_deploy_and_roll_back_a_release(setup: Setup) -> None:
    file = setup.folder / "deploy" / "deployment.env"
    for version in (FIRST, SECOND):
        done = training("deploy", *setup.arguments, "--release", version, "--env-file", file, "--allow-unsigned")
        assert done.returncode == 0, done.stderr
        told = dict(line.split("=", 1) for line in file.read_text().splitlines())
        assert told["CANDIDATE_URL"] == setup.service.address("candidate")
        named = ("--service", setup.service.name, "--revision", told["REVISION"])
        done = training("verify", *named)
        assert done.returncode == 0, done.stdout + done.stderr
        done = training("rollout", *named, "--registry", setup.registry.uri, "--minutes", 0.01, "--steps", 20)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "20 % of the traffic goes to " + told["REVISION"] in done.stdout
        assert (setup.served(), setup.production()) == (version, version)
    done = training("rollback", *setup.arguments)
    assert done.returncode == 0, done.stderr
    assert f"production: {FIRST}" in done.stdout
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_deploy_refuses_an_untrusted_release_before_the_build(setup: Setup, tmp_path: Path) -> None:
    before = len(setup.fake_cloud.builds.images)
    for options, said in (((), "no signer is trusted"), (("--trusted-identity", "somebody"), "no signature")):
        done = training("deploy", *setup.arguments, *options)
        assert done.returncode == 1
        assert said in done.stderr
    assert len(setup.fake_cloud.builds.images) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", "--service", "age-gender", "--registry", "r", "--allow-unsigned"), "is not projects/PROJECT/loc"),
        (("deploy", "--service", "{service}", "--registry", "{folder}", "--allow-unsigned"), "is no registry"),
        (("rollout", "--service", "{service}", "--registry", "r", "--revision", "none"), "none is not the candidate"),
        (("rollback", "--service", "{service}", "--registry", "{folder}"), "no earlier production release"),
        (("verify", "--service", "{service}x", "--revision", "none"), "was not found"),
    ],
)
def test_commands_explain_refusals(setup: Setup, arguments: tuple[str, ...], said: str) -> None:
    filled = [each.format(service=setup.service.name, folder=setup.folder) for each in arguments]
    done = training(*filled)
    assert done.returncode == 1
    assert re.match(rf"{arguments[0]}: .+", done.stderr)
    assert said in done.stderr

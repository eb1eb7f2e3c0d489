"""The four commands as people and jobs type them, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deployment.conftest import FIRST, SECOND, Place, training


@pytest.mark.slow
def test_a_release_goes_live_and_back_by_four_commands(place: Place) -> None:
    file = place.folder / "deploy" / "deployment.env"
    for version in (FIRST, SECOND):
        done = training("deploy", *place.arguments, "--release", version, "--env-file", file, "--allow-unsigned")
        assert done.returncode == 0, done.stderr
        told = dict(line.split("=", 1) for line in file.read_text().splitlines())
        assert told["CANDIDATE_URL"] == place.service.address("candidate")
        named = ("--service", place.service.name, "--revision", told["REVISION"])
        done = training("verify", *named)
        assert done.returncode == 0, done.stdout + done.stderr
        done = training("rollout", *named, "--registry", place.registry.uri, "--minutes", 0.01, "--percent", 20)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "20 % of the traffic goes to " + told["REVISION"] in done.stdout
        assert (place.served(), place.production()) == (version, version)
    done = training("rollback", *place.arguments)
    assert done.returncode == 0, done.stderr
    assert f"production: {FIRST}" in done.stdout
    assert (place.served(), place.production()) == (FIRST, FIRST)


def test_a_release_that_nobody_trusted_signed_is_not_even_built(place: Place, tmp_path: Path) -> None:
    before = len(place.double.builds.images)
    for options, said in (((), "no signer is trusted"), (("--trusted-identity", "somebody"), "no signature")):
        done = training("deploy", *place.arguments, *options)
        assert done.returncode == 1
        assert said in done.stderr
    assert len(place.double.builds.images) == before


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
def test_a_command_that_cannot_go_on_says_why(place: Place, arguments: tuple[str, ...], said: str) -> None:
    filled = [each.format(service=place.service.name, folder=place.folder) for each in arguments]
    done = training(*filled)
    assert done.returncode == 1
    assert re.match(rf"{arguments[0]}: .+", done.stderr)
    assert said in done.stderr

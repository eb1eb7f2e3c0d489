"""The commands a person types, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import FUNCTION, ROOT
from tests.server import serve
from tests.signatures import digest, public, write_key
from training.__main__ import COMMANDS, main
from training.faces import draw, write_faces


def training(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def published(faces: Path, work: Path, registry: Path, *options: object) -> Path:
    """Run the steps of `make pipeline PRESET=smoke`, and return the folder of the release."""
    for step in (
        ("prepare", "--preset", "smoke", "--data", faces, "--work", work),
        ("train", "--preset", "smoke", "--work", work),
        ("convert", "--work", work),
        ("evaluate", "--work", work),
        ("gate", "--work", work),
        ("publish", "--work", work, "--registry", registry, *options),
    ):
        done = training(*step)
        assert done.returncode == 0, done.stderr
    (release,) = (line for line in done.stdout.splitlines() if line.startswith("release: "))
    return Path(release.removeprefix("release: "))


@pytest.mark.slow
def test_faces_become_a_release_that_the_function_serves(tmp_path: Path) -> None:
    faces, work, registry = tmp_path / "faces", tmp_path / "work", tmp_path / "registry"
    key = write_key(tmp_path, "signing-key", ec.generate_private_key(ec.SECP256R1()))
    write_faces(faces, 400)
    address = published(faces, work, registry, "--signing-key", key)
    assert (work / "release.env").read_text() == f"VERSION={address.name}\n"
    signature = training("verify-signature", address.name, "--registry", registry, "--trusted-key", public(key))
    assert signature.stdout == f"{address.name}: signed by the key {digest(key)}\n"
    assert training("promote", "--registry", registry, address.name).returncode == 0
    assert f"* {address.name}" in training("releases", "--registry", registry).stdout
    with serve(FUNCTION, MODEL_URI=str(address)) as server:
        assert server.get("/model").json()["version"] == address.name
        assert server.post(draw(30, 1, 2, seed=1)).is_success


@pytest.mark.slow
def test_photographs_with_a_table_of_ranges_become_a_release_without_the_head_that_nobody_labelled(
    photographs: Path, tmp_path: Path
) -> None:
    address = published(photographs, tmp_path / "work", tmp_path / "registry")
    with serve(FUNCTION, MODEL_URI=str(address), HEADS="age,gender") as server:
        assert set(server.get("/model").json()["heads"]) == {"age", "gender"}
        (prediction,) = server.post(draw(30, 1, 2, seed=1)).json()["predictions"]
        assert set(prediction) >= {"age", "gender"}


def exit_code(*arguments: str) -> int | str | None:
    """What a command ends with, run in this process: one of its own would read TensorFlow first."""
    try:
        return main([*arguments])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("step", [command.name for command in COMMANDS])
def test_each_step_explains_itself(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(step, "--help") == 0
    assert "usage: python -m training" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("prepare", "--data", "/nowhere", "--work", "{tmp}"), 1, "/nowhere does not exist"),
        (("train", "--work", "{tmp}"), 1, "run `python -m training prepare` first"),
        (("convert", "--work", "{tmp}"), 1, "run `python -m training train` first"),
        (("evaluate", "--work", "{tmp}"), 1, "`python -m training convert`"),
        (("gate", "--work", "{tmp}", "--preset", "smoke"), 1, "run `python -m training evaluate` first"),
        (("publish", "--work", "{tmp}", "--registry", "{tmp}/r"), 1, "run `python -m training convert` first"),
        (("promote", "--registry", "{tmp}/r", "1"), 1, "is no registry: it is empty or absent"),
        (("rollback", "--registry", "{tmp}/r"), 1, "is no registry: it is empty or absent"),
        (("verify-signature", "1", "--registry", "{tmp}/r"), 1, "no signer is trusted; use --trusted-key"),
        (
            ("verify-signature", "1", "--registry", "{tmp}/r", "--allow-unsigned"),
            1,
            "is no registry: it is empty or absent",
        ),
        (
            ("verify-signature", "function/model", "--trusted-identity", "me"),
            1,
            "the release is signed by the key",
        ),
        (("verify-signature", "1", "--allow-unsigned"), 1, "name the registry of the version with --registry"),
        (("reproduce", "1", "--registry", "{tmp}/r"), 1, "is no registry: it is empty or absent"),
        (("train", "--preset", "huge"), 2, "invalid choice"),
        (("train", "--set", "epoch=3"), 1, "cannot set 'epoch'; choose one of architecture, epochs"),
        (("train", "--set", "epochs=many"), 1, "epochs must be an integer, got 'many'"),
        (("dance",), 2, "invalid choice"),
        (("signature", "1", "--allow-unsigned"), 2, "signature is now verify-signature: rename it"),
        (("prepare", "--data", "x", "--preset", "seed"), 2, "seed is now baseline: rename it"),
        (("gate", "--preset", "seed"), 2, "seed is now baseline: rename it"),
    ],
)
def test_a_step_that_cannot_go_on_says_why_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments)) == code
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_pipeline_target_asks_for_data() -> None:
    done = subprocess.run(["make", "pipeline"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "DATA=" in done.stderr

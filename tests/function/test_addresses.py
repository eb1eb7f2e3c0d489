"""One parser of addresses: a folder, gs://bucket/path, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import addresses
from serving.addresses import Address, AddressError
from tests.conftest import FUNCTION
from tests.server import refusal
from training.__main__ import main

REFUSED = [
    "",
    " ",
    "gs:/bucket/models",
    "gs:bucket/models",
    "gs://",
    "gs:///models",
    "gs://Bucket/models",
    "gs://b",
    "gs://bucket/a//b",
    "gs://bucket/../b",
    "gs://bucket/a\nb",
    "gs://bucket/\udc80",
    "GS://bucket/models",
    "gcs://bucket/models",
    "s3://bucket/models",
    "file:///models",
    "http://localhost:9023/models",
    "https://storage.googleapis.com/bucket/models",
    "~/registry",
    "~other/registry",
    " gs://bucket/models",
    "models\0",
]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("models", Address("", "models")),
        ("./s3:models/", Address("", "./s3:models")),
        ("/", Address("", "/")),
        ("/data/a b/é", Address("", "/data/a b/é")),
        ("models/~old", Address("", "models/~old")),
        ("gs://bucket", Address("bucket", "")),
        ("gs://bucket/", Address("bucket", "")),
        ("gs://a.bucket_1-x/models/1/", Address("a.bucket_1-x", "models/1")),
    ],
)
def test_a_folder_or_a_path_in_a_bucket_is_an_address(text: str, address: Address) -> None:
    assert addresses.parse(text) == address
    assert addresses.parse(f"{address}") == address


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(AddressError, match=r"gs://bucket/path|write the whole path"):
        addresses.parse(text)


COMMANDS = [
    ("publish", "--work", "{work}", "--registry", "{address}"),
    ("releases", "--registry", "{address}"),
    ("first-release", "--registry", "{address}"),
    ("promote", "1", "--registry", "{address}"),
    ("rollback", "1", "--registry", "{address}"),
    ("prune", "--registry", "{address}"),
    ("evaluate", "--work", "{work}", "--registry", "{address}"),
    ("evaluate", "--work", "{work}", "--registry", "{address}", "--first-release"),
    ("evaluate", "--work", "{work}", "--champion", "{address}"),
    ("fetch", "{address}", "{work}"),
    ("drift", "--logs", "{address}", "--release", "function/model"),
    ("drift", "--logs", "function/model/card.md", "--registry", "{address}"),
    ("drift", "--logs", "function/model/card.md", "--release", "{address}"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("address", ["gs:/bucket/models", "s3://bucket/models", "~/registry", "file:///models", ""])
def test_commands_refuse_it_and_write_nothing(
    command: tuple[str, ...],
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "function").symlink_to(FUNCTION)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main([part.format(work=tmp_path / "work", address=address) for part in command]) in (1, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "gs://bucket/path" in line or "write the whole path" in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("address", ["gs://bucket/faces.tar", "gs:/bucket/faces.tar", "s3://b/f.tar", "~/faces", ""])
def test_a_dataset_is_local(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "--work", str(tmp_path), "--data", address])
    assert "argument --data: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["gs:/bucket/models/1", "s3://bucket/models/1", "~/models/1", ""])
def test_the_function_does_not_start_with_it(address: str) -> None:
    assert refusal(FUNCTION, MODEL_URI=address).startswith(f"cannot start: MODEL_URI is {address!r}; it takes ")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        (" ", ""),
        ("http://localhost:9023", "http://localhost:9023"),
        ("http://localhost:9023/", "http://localhost:9023"),
        ("https://storage.example", "https://storage.example"),
        ("localhost:9023", "http://localhost:9023"),
        ("127.0.0.1:9023", "http://127.0.0.1:9023"),
        ("http://[::1]:9023", "http://[::1]:9023"),
    ],
)
def test_an_emulator_is_a_url_whose_scheme_may_be_missing(text: str, url: str) -> None:
    assert addresses.emulator({"STORAGE_EMULATOR_HOST": text}) == url


@pytest.mark.parametrize("text", ["wombat", "http://127.0.0.1:99999", "http://", "ftp://localhost:1", "a b:1", "x:0"])
def test_what_is_no_url_of_an_emulator_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="STORAGE_EMULATOR_HOST is"):
        addresses.emulator({"STORAGE_EMULATOR_HOST": text})


@pytest.mark.parametrize("text", ["wombat", "http://127.0.0.1:99999"])
def test_the_function_refuses_such_an_emulator_in_one_line(text: str) -> None:
    said = refusal(FUNCTION, MODEL_URI="gs://releases/1", STORAGE_EMULATOR_HOST=text)
    assert f"STORAGE_EMULATOR_HOST is {text!r}; use a URL" in said

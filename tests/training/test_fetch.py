"""The archive of faces is fetched once, and whatever lies in its place is not taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulator import Emulator
from training.__main__ import main
from training.errors import StepError
from training.fetch import fetch


@pytest.fixture
def uri(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An archive in the bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    _upload(emulator, tmp_path, b"faces")
    return f"gs://{emulator.bucket}/{tmp_path.name}/faces.tar"


def _upload(emulator: Emulator, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "faces.tar").write_bytes(content)
    emulator.upload(source, tmp_path.name)


def test_a_second_run_finds_the_object_there(uri: str, tmp_path: Path) -> None:
    copy, fetched = fetch(uri, tmp_path / "faces")
    assert (copy.read_bytes(), fetched) == (b"faces", True)
    made = copy.stat().st_mtime_ns
    assert fetch(uri, tmp_path / "faces") == (copy, False)
    assert copy.stat().st_mtime_ns == made


def test_an_object_that_was_replaced_is_fetched_again(uri: str, emulator: Emulator, tmp_path: Path) -> None:
    fetch(uri, tmp_path / "faces")
    _upload(emulator, tmp_path, b"other")
    copy, fetched = fetch(uri, tmp_path / "faces")
    assert (copy.read_bytes(), fetched) == (b"other", True)


@pytest.mark.parametrize("damaged", [b"", b"face", b"fades", b"faces and more"])
def test_a_damaged_copy_is_replaced(uri: str, tmp_path: Path, damaged: bytes) -> None:
    copy, _ = fetch(uri, tmp_path / "faces")
    copy.write_bytes(damaged)
    assert fetch(uri, tmp_path / "faces") == (copy, True)
    assert copy.read_bytes() == b"faces"
    assert {path.name for path in copy.parent.iterdir()} == {"faces.tar", ".faces.tar.fetched"}


@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_file_that_was_not_fetched_is_never_overwritten(uri: str, tmp_path: Path, linked: bool) -> None:
    theirs = tmp_path / "theirs.tar"
    theirs.write_text("theirs")
    (tmp_path / "faces").mkdir()
    copy = tmp_path / "faces" / "faces.tar"
    if linked:
        copy.symlink_to(theirs)
    else:
        copy.write_text("theirs")
    with pytest.raises(StepError, match="already exists and was not fetched; move it away"):
        fetch(uri, tmp_path / "faces")
    assert copy.read_text() == theirs.read_text() == "theirs"


@pytest.mark.parametrize("name", ["faces.tar", "gs://", "gs://bucket", "gs://bucket/", "https://bucket/faces.tar"])
def test_an_address_that_names_no_object_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"names no (object|bucket)|is no address"):
        fetch(name, tmp_path)


def test_a_missing_object_or_bucket_is_said(uri: str, tmp_path: Path) -> None:
    for missing in (f"{uri}.gz", "gs://nowhere/faces.tar"):
        with pytest.raises(StepError, match=f"{missing} does not exist"):
            fetch(missing, tmp_path / "faces")
    assert not (tmp_path / "faces").exists()


def test_what_arrives_with_other_bytes_is_not_kept(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A server whose body and checksum agree with each other, yet not with what the object was said to be.
    from google.cloud.storage import Blob

    monkeypatch.setattr(Blob, "crc32c", "AAAAAA==")
    with pytest.raises(StepError, match=r"arrived with CRC32C .* instead of AAAAAA=="):
        fetch(uri, tmp_path / "faces")
    assert list((tmp_path / "faces").iterdir()) == []


def test_the_command_says_what_it_did(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("fetched", "already there"):
        assert main(["fetch", uri, str(tmp_path / "faces")]) == 0
        assert capsys.readouterr().out == f"{tmp_path}/faces/faces.tar: 5 bytes, {said}\n"

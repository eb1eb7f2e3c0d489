"""A registry in a local folder leaves nothing half written, whoever is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training.errors import StepError
from training.registry.addresses import open_storage
from training.registry.local import LocalStorage
from training.registry.storage import ConflictError


def test_a_folder_keeps_no_half_written_file(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("1/a", b"one")
    storage.replace("production", b"1", None)
    with pytest.raises(ConflictError):
        storage.create("1/a", b"two")
    with pytest.raises(ConflictError):
        storage.replace("production", b"2", None)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"1/a", "production", ".lock"}
    assert (tmp_path / "1" / "a").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StepError, match=str(tmp_path / "file")):
        open_storage(str(tmp_path / "file")).create("1/a", b"one")


def test_a_killed_writer_leaves_nothing_in_a_release_and_is_cleaned_up_after(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    old, young = tmp_path / ".release-partial-old_old_", tmp_path / ".release-partial-youngyou"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    storage.create("1/a", b"one")
    assert not old.exists()
    assert young.exists()
    assert list(storage.folders()) == ["1"]
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["a"]


def test_no_file_of_a_folder_is_durable_before_those_written_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append("a copy" if path.name.startswith(".release-partial-") else path.relative_to(tmp_path).as_posix())

    monkeypatch.setattr(os, "fsync", fsync)
    storage = LocalStorage(tmp_path / "registry")
    for name in ("1/model", "1/manifest"):
        storage.create(name, b"")
    storage.replace("production", b"", None)
    # The contents, the new folder's name, the file's name; then the next file.
    assert flushed == ["a copy", "registry", "registry/1", "a copy", "registry/1", "a copy", "registry"]

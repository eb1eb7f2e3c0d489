"""Folders that jobs leave in a bucket."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.emulator import Emulator
from training.errors import StepError
from training.registry import folders
from training.registry.folders import restore, store


@pytest.fixture
def uri(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    return f"gs://{emulator.bucket}/{tmp_path.name}/data-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "inner").mkdir(parents=True)
    for name, content in (("a.npy", b"a" * 100_000), ("inner/b.csv", b"b"), ("same.csv", b"b"), ("empty", b"")):
        (made / name).write_bytes(content)
    return made


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_was(uri: str, folder: Path, tmp_path: Path) -> None:
    assert store(folder, uri) == 3
    assert restore(uri, tmp_path / "copy") == 4
    assert _contents(tmp_path / "copy") == _contents(folder)


def test_only_what_changed_is_uploaded_also_under_another_name(uri: str, folder: Path, tmp_path: Path) -> None:
    store(folder, uri)
    (folder / "a.npy").write_bytes(b"other")
    other = f"{uri.rpartition('/')[0]}/data-2"
    assert store(folder, other) == 1
    restore(other, tmp_path / "copy")
    assert _contents(tmp_path / "copy") == _contents(folder)
    restore(uri, tmp_path / "former")
    assert (tmp_path / "former" / "a.npy").read_bytes() == b"a" * 100_000


def test_a_copy_that_was_interrupted_leaves_the_former_one(
    uri: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(folder, uri)
    (folder / "a.npy").write_bytes(b"other")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders, "_run", killed)
        with pytest.raises(KeyboardInterrupt):
            store(folder, uri)
    restore(uri, tmp_path / "copy")
    assert (tmp_path / "copy" / "a.npy").read_bytes() == b"a" * 100_000


def test_objects_that_the_bucket_may_soon_delete_are_uploaded_again(
    uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(folder, uri)
    assert store(folder, uri) == 0
    monkeypatch.setattr(folders, "_FRESH", timedelta(seconds=-1))
    assert store(folder, uri) == 3


def test_a_copy_whose_objects_are_gone_is_none(uri: str, folder: Path, tmp_path: Path, emulator: Emulator) -> None:
    assert restore(uri, tmp_path / "copy") is None
    store(folder, uri)
    listed = httpx.get(f"{emulator.url}/storage/v1/b/{emulator.bucket}/o?prefix={tmp_path.name}/objects/").json()
    name = listed["items"][0]["name"].replace("/", "%2F")
    httpx.delete(f"{emulator.url}/storage/v1/b/{emulator.bucket}/o/{name}").raise_for_status()
    assert restore(uri, tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


def test_a_folder_with_files_is_not_mixed_with_a_copy(uri: str, folder: Path) -> None:
    store(folder, uri)
    with pytest.raises(StepError, match="has files already"):
        restore(uri, folder)


@pytest.mark.parametrize("address", ["gs://bucket", "gs://bucket/", "folder"])
def test_an_address_without_a_name_is_refused(address: str, folder: Path) -> None:
    with pytest.raises(StepError, match="names no folder in a bucket"):
        store(folder, address)

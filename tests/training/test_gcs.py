"""What only a bucket has: its name, prefixes, and holds that others lift."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.emulator import Emulator
from training.errors import StepError
from training.registry.addresses import open_storage
from training.registry.storage import ConflictError


def _content(uri: str, name: str) -> bytes:
    found = open_storage(uri).read(name)
    assert found
    return found.data


def test_a_whole_bucket_is_a_storage_and_prefixes_keep_apart(in_the_cloud: Emulator) -> None:
    in_the_cloud.create_bucket("whole")
    for uri in ("gs://whole", "gs://whole/part", "gs://whole/part/deeper/"):
        open_storage(uri).create("1/a", uri.encode())
    assert _content("gs://whole", "1/a") == b"gs://whole"
    assert _content("gs://whole", "part/1/a") == b"gs://whole/part"
    assert list(open_storage("gs://whole/").folders()) == ["1", "part"]
    assert list(open_storage("gs://whole/part").folders()) == ["1", "deeper"]


def test_a_missing_bucket_is_named(in_the_cloud: Emulator) -> None:
    storage = open_storage("gs://nobodys/releases")
    sentence = "the bucket does not exist; create it"
    with pytest.raises(StepError, match=f"^gs://nobodys/releases/1/a: {sentence}"):
        storage.create("1/a", b"one")
    with pytest.raises(StepError, match=f"^gs://nobodys/releases/production: {sentence}"):
        storage.replace("production", b"one", None)
    with pytest.raises(StepError, match=f"^gs://nobodys/releases: {sentence}"):
        list(storage.folders())


def test_missing_credentials_are_told_with_their_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StepError, match=r"none.json was not found; `gcloud auth application-default login` makes"):
        open_storage("gs://nobodys/releases")


@pytest.mark.parametrize("uri", ["gs://", "gs:///releases"])
def test_an_address_without_a_bucket_is_refused(in_the_cloud: Emulator, uri: str) -> None:
    with pytest.raises(StepError, match=uri):
        open_storage(uri).create("1/a", b"one")


def test_a_hold_in_a_bucket_is_noticed_though_it_was_released_again(in_the_cloud: Emulator, tmp_path: Path) -> None:
    storage = open_storage(f"gs://{in_the_cloud.bucket}{tmp_path}")
    storage.create("1/a", b"one")
    (file,) = storage.files("1")
    seen = file.generation
    storage.hold("1/a", seen)
    name = quote(f"{tmp_path}/1/a".lstrip("/"), safe="")
    address = f"{in_the_cloud.url}/storage/v1/b/{in_the_cloud.bucket}/o/{name}"
    httpx.patch(address, json={"temporaryHold": False}).raise_for_status()
    (file,) = storage.files("1")
    assert not file.held
    with pytest.raises(ConflictError, match="1/a was changed"):
        storage.replace("1/a", b"two", seen)
    with pytest.raises(ConflictError, match="1/a was changed"):
        storage.delete("1/a", seen)
    storage.delete("1/a", file.generation)

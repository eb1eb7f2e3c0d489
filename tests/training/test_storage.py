"""A folder and a bucket keep the same promises: nothing is overwritten unseen, by whomever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from training.registry.addresses import open_storage
from training.registry.storage import ConflictError, Storage


@pytest.fixture
def storage(uri: str) -> Storage:
    return open_storage(uri)


def content(storage: Storage, name: str) -> bytes | None:
    found = storage.read(name)
    return found.data if found else None


def generation(storage: Storage, name: str) -> str | None:
    found = storage.read(name)
    return found.generation if found else None


def test_what_is_absent_is_none(storage: Storage) -> None:
    assert storage.read("a") is None
    assert storage.read("a/b") is None
    assert list(storage.folders()) == []


def test_a_created_file_is_read_by_others(storage: Storage, uri: str) -> None:
    data = bytes(range(256)) * 100
    storage.create("1/a", data)
    assert content(open_storage(uri), "1/a") == data
    assert content(open_storage(uri + "/"), "1/a") == data
    assert storage.read("1") is None


def test_creating_the_same_again_is_no_conflict(storage: Storage) -> None:
    storage.create("1/a", b"one")
    before = generation(storage, "1/a")
    storage.create("1/a", b"one")
    assert generation(storage, "1/a") == before


@pytest.mark.parametrize("other", [b"two", b""])
def test_creating_a_file_with_other_contents_is_refused(storage: Storage, other: bytes) -> None:
    storage.create("1/a", b"one")
    with pytest.raises(ConflictError, match="1/a exists with other contents; a published file is never overwritten"):
        storage.create("1/a", other)
    assert content(storage, "1/a") == b"one"


def test_a_file_is_replaced_by_who_saw_it_last(storage: Storage) -> None:
    storage.replace("pointer", b"one", None)
    storage.replace("pointer", b"two", generation(storage, "pointer"))
    assert content(storage, "pointer") == b"two"


def test_a_stale_generation_replaces_nothing(storage: Storage) -> None:
    storage.replace("pointer", b"one", None)
    stale = generation(storage, "pointer")
    storage.replace("pointer", b"two", stale)
    for seen in (stale, None):
        with pytest.raises(ConflictError, match="pointer was changed by another process meanwhile"):
            storage.replace("pointer", b"three", seen)
    assert content(storage, "pointer") == b"two"


def test_a_generation_of_what_is_gone_replaces_nothing(storage: Storage) -> None:
    storage.create("other", b"one")
    with pytest.raises(ConflictError):
        storage.replace("pointer", b"two", generation(storage, "other"))
    assert storage.read("pointer") is None


@pytest.mark.parametrize("operation", ["create", "replace"])
def test_of_two_writers_at_once_exactly_one_wins(storage: Storage, uri: str, operation: str) -> None:
    barrier = Barrier(2)

    def write(writer: int, name: str, seen: str | None) -> bool:
        mine, data = open_storage(uri), f"writer {writer}".encode() * 1000
        barrier.wait(timeout=30)
        try:
            if operation == "create":
                mine.create(name, data)
            else:
                mine.replace(name, data, seen)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for race in range(10):
            name = f"race/{race}"
            if operation == "replace" and race % 2:
                storage.create(name, b"before")
            seen = generation(storage, name)
            first, second = pool.map(write, (1, 2), (name, name), (seen, seen))
            assert first != second
            assert content(storage, name) == (b"writer 1" if first else b"writer 2") * 1000


def test_folders_are_the_names_at_the_top(storage: Storage) -> None:
    for name in ("2/a", "10/a", "10/deeper/b", "1/a"):
        storage.create(name, b"")
    storage.replace("production", b"", None)
    assert list(storage.folders()) == ["1", "10", "2"]


def test_a_deleted_file_is_gone_and_deleting_it_again_is_no_conflict(storage: Storage) -> None:
    storage.create("1/a", b"one")
    seen = generation(storage, "1/a")
    assert isinstance(seen, str)
    storage.delete("1/a", seen)
    assert storage.read("1/a") is None
    assert list(storage.folders()) == []
    storage.delete("1/a", seen)


def test_a_stale_generation_deletes_nothing(storage: Storage) -> None:
    storage.replace("1/a", b"one", None)
    stale = generation(storage, "1/a")
    assert isinstance(stale, str)
    storage.replace("1/a", b"two", stale)
    with pytest.raises(ConflictError, match="1/a was changed by another process meanwhile"):
        storage.delete("1/a", stale)
    assert content(storage, "1/a") == b"two"


def test_a_held_file_is_neither_replaced_nor_deleted(storage: Storage, uri: str) -> None:
    storage.create("1/a", b"one")
    before = generation(storage, "1/a")
    assert isinstance(before, str)
    storage.hold("1/a", before)
    # Twice, as a promoter does that was killed the first time.
    open_storage(uri).hold("1/a", before)
    (file,) = storage.files("1")
    assert file.held
    for seen in (before, file.generation):
        with pytest.raises(ConflictError, match=r"1/a (is held|was changed)"):
            storage.replace("1/a", b"two", seen)
        with pytest.raises(ConflictError, match=r"1/a (is held|was changed)"):
            storage.delete("1/a", seen)
    with pytest.raises(ConflictError, match="1/a is held: every file of a release that is or was in production stays"):
        storage.delete("1/a", file.generation)
    assert content(storage, "1/a") == b"one"


def test_what_has_changed_or_gone_is_not_held(storage: Storage) -> None:
    storage.replace("1/a", b"one", None)
    stale = generation(storage, "1/a")
    assert isinstance(stale, str)
    storage.replace("1/a", b"two", stale)
    with pytest.raises(ConflictError):
        storage.hold("1/a", stale)
    (file,) = storage.files("1")
    assert not file.held
    storage.delete("1/a", file.generation)
    with pytest.raises(ConflictError):
        storage.hold("1/a", file.generation)


def test_the_files_of_a_folder_are_listed_with_their_generations(storage: Storage) -> None:
    for name in ("1/b", "1/a", "10/a"):
        storage.create(name, name.encode())
    files = storage.files("1")
    assert [file.name for file in files] == ["1/a", "1/b"]
    assert all(file.plain for file in files)
    assert storage.files("2") == []
    for file in files:
        assert abs((datetime.now(UTC) - file.written).total_seconds()) < 60
        storage.delete(file.name, file.generation)
    assert list(storage.folders()) == ["10"]

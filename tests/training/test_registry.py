"""Releases appear whole or not at all, and never change."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.releases import publish, release, versions
from training.errors import StepError
from training.registry.local import release_files
from training.registry.registry import Pointer, Registry
from training.registry.storage import ConflictError


def test_a_new_registry_is_empty(registry: Registry) -> None:
    assert registry.releases() == []
    assert registry.production() is None


def test_a_published_release_is_listed_under_its_address(registry: Registry, uri: str) -> None:
    assert registry.publish("2", release("2")) == f"{uri}/2"
    assert Registry(uri + "/").publish("1", release("1")) == f"{uri}/1"
    assert versions(Registry(uri)) == ["1", "2"]
    assert registry.production() is None
    for name, data in release("2").items():
        stored = registry.storage.read(f"2/{name}")
        assert stored is not None
        assert stored.data == data


def test_a_refusal_is_kept_and_does_not_hinder_the_first_release(registry: Registry) -> None:
    state = "0" * 64
    assert registry.refusal(state) == ""
    registry.refuse(state, "age error")
    registry.refuse(state, "another reason")
    assert registry.refusal(state) == "age error"
    assert registry.made_from(state) is None
    publish(registry, "1")
    assert versions(registry) == ["1"]


def test_publishing_the_same_again_changes_nothing(registry: Registry) -> None:
    publish(registry, "1", "1")
    assert versions(registry) == ["1"]


@pytest.mark.parametrize("name", sorted(release("1")))
def test_a_version_is_never_published_with_other_contents(registry: Registry, name: str) -> None:
    publish(registry, "1")
    with pytest.raises(ConflictError, match=f"1/{name} exists with other contents"):
        registry.publish("1", {**release("1"), name: b'{"version": "1"}'})
    stored = registry.storage.read(f"1/{name}")
    assert stored is not None
    assert stored.data == release("1")[name]


def test_half_a_release_is_invisible_until_it_is_published_again(registry: Registry) -> None:
    publish(registry, "1")
    # What an upload leaves that was broken off before its last file.
    for name in ("card.md", "model.tflite"):
        registry.storage.create(f"2/{name}", release("2")[name])
    assert versions(registry) == ["1"]
    with pytest.raises(StepError, match="has no release 2; it has 1"):
        registry.promote("2")
    publish(registry, "2")
    assert versions(registry) == ["1", "2"]
    assert registry.promote("2") == Pointer("2")


def test_a_release_that_fails_midway_has_no_manifest(registry: Registry) -> None:
    publish(registry, "2")
    # The last file before the manifest.
    registry.storage.create("1/model.tflite", b"somebody else's")
    with pytest.raises(ConflictError):
        publish(registry, "1")
    assert registry.storage.read("1/card.md") is not None
    assert versions(registry) == ["2"]


@pytest.mark.parametrize(("published", "held"), [(("1",), "1"), (("2", "1"), "1, 2")])
def test_promoting_an_unknown_version_lists_what_there_is(
    registry: Registry, published: tuple[str, ...], held: str
) -> None:
    publish(registry, *published)
    with pytest.raises(StepError, match=f"has no release 9; it has {held}$"):
        registry.promote("9")
    assert registry.production() is None


def test_promoting_where_no_registry_is_says_so(registry: Registry) -> None:
    with pytest.raises(StepError, match="is no registry: it is empty or absent"):
        registry.promote("9")


def test_the_files_of_a_local_release_can_be_published_elsewhere(registry: Registry, uri: str, tmp_path: Path) -> None:
    local = Registry(str(tmp_path / "local"))
    publish(local, "1")
    registry.publish("1", release_files(tmp_path / "local" / "1"))
    assert versions(registry) == ["1"]


def test_a_promoted_release_is_held_and_others_are_not(registry: Registry) -> None:
    publish(registry, "1", "2")
    registry.promote("1")
    for version, expected in (("1", True), ("2", False)):
        files = registry.storage.files(version)
        assert len(files) == len(release(version))
        assert all(file.held is expected for file in files)


def test_nothing_is_added_to_a_published_release(registry: Registry) -> None:
    publish(registry, "1")
    with pytest.raises(ConflictError, match=r"1/manifest\.json exists with other contents"):
        registry.publish("1", {**release("1"), "manifest.json": b'{"version": "1"}', "another": b""})
    assert len(registry.storage.files("1")) == len(release("1"))


@pytest.mark.parametrize("same", [True, False], ids=["same contents", "other contents"])
def test_of_two_publishers_of_a_version_both_succeed_or_one(registry: Registry, uri: str, same: bool) -> None:
    barrier = Barrier(2)

    def publish_one(version: str, model: bytes) -> bool:
        mine = Registry(uri)
        stated = {"file": "model.tflite", "sha256": hashlib.sha256(model).hexdigest()}
        manifest = json.dumps({"name": "one", "version": version, "model": stated}).encode()
        barrier.wait(timeout=30)
        try:
            mine.publish(version, {"manifest.json": manifest, "model.tflite": model})
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for race in range(10):
            models = (b"one", b"one" if same else b"two")
            first, second = pool.map(publish_one, (f"{race}",) * 2, models)
            assert first or second
            assert (first and second) == same
            stored = registry.storage.read(f"{race}/model.tflite")
            assert stored is not None
            assert stored.data == models[0 if first else 1]
            assert registry.read(f"{race}").files["model.tflite"] == stored.data


def test_publishers_of_different_versions_do_not_meet(registry: Registry, uri: str) -> None:
    names = [str(number) for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda version: Registry(uri).publish(version, release(version)), names))
    assert versions(registry) == names

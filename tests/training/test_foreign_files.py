"""Nothing that is not a registry's, a cache's or a step's own is ever removed, overwritten or written beside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from serving.storage import Cache, digest
from tests.releases import MODEL, half, release, versions
from training.__main__ import main
from training.errors import StepError
from training.registry import retention
from training.registry.registry import Registry
from training.registry.retention import Retention, prune

ALL = Retention(keep=0, days=0)


@pytest.fixture(autouse=True)
def _without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day has passed."""
    monkeypatch.setattr(retention, "GRACE", timedelta())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of a person, with a registry in it, all of it old."""
    home = tmp_path / "home"
    for name in (".ssh/id", "Documents/thesis.txt", "model/model.tflite", "notes.txt"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("theirs")
    registry = Registry(str(home / "registry"))
    for version in "12":
        registry.publish(version, release(version))
    registry.promote("1")
    for path in home.rglob("*"):
        os.utime(path, (0, 0))
    return home


def everything(folder: Path) -> dict[str, bytes | str]:
    return dict(_contents(folder))


def _contents(folder: Path) -> Iterator[tuple[str, bytes | str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield f"{path}", f"{path.readlink()}"
        elif path.is_file():
            yield f"{path}", path.read_bytes()


def gone(registry: Registry) -> dict[str, str]:
    return {verdict.version: verdict.reason for verdict in prune(registry, ALL, dry_run=False) if verdict.goes}


def stays(registry: Registry) -> dict[str, str]:
    return {verdict.version: verdict.reason for verdict in prune(registry, ALL, dry_run=False) if not verdict.goes}


def test_prune_one_folder_too_high_removes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(home)
    assert main(["prune", "--registry", str(home), "--keep", "0", "--older-than", "0"]) == 1
    assert everything(home) == before
    assert f"{home} is no registry: it has '.ssh'; is it {home}/registry?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["prune"], ["releases"], ["promote", "1"], ["reproduce", "1"]], ids=lambda command: command[0]
)
@pytest.mark.parametrize("place", ["Documents", "nowhere"])
def test_no_command_takes_any_folder_for_a_registry(home: Path, command: list[str], place: str) -> None:
    before = everything(home)
    assert main([command[0], "--registry", str(home / place), *command[1:]]) == 1
    assert everything(home) == before


def test_nothing_is_published_among_files_of_others(home: Path) -> None:
    before = everything(home)
    with pytest.raises(StepError, match=r"is no registry: it has '\.ssh' and no release"):
        Registry(str(home)).publish("1", release("1"))
    assert everything(home) == before


def test_a_prefix_of_other_objects_is_no_registry(registry: Registry) -> None:
    registry.storage.create("photos/model.tflite", b"theirs")
    with pytest.raises(StepError, match="is no registry: it has 'photos"):
        registry.publish("1", release("1"))
    with pytest.raises(StepError, match="is no registry"):
        gone(registry)
    assert registry.storage.read("photos/model.tflite") is not None


def test_what_no_publisher_made_stays(stocked: Registry) -> None:
    stocked.storage.create("backup/model.tflite", b"theirs")
    half(stocked, "6")
    found = stays(stocked)
    assert found["backup"].startswith("not made by `publish`: no manifest and no publisher's mark")
    assert "6" not in found
    assert stocked.storage.read("backup/model.tflite") is not None
    assert stocked.storage.read(f"6/{MODEL}") is None


@pytest.mark.parametrize("name", ["4/notes.txt", "4/nested/production", "4/nested/1/manifest.json"])
def test_a_release_with_foreign_files_stays_whole(stocked: Registry, name: str) -> None:
    stocked.storage.create(name, b"theirs")
    assert stays(stocked)["4"] == f"has '{name}', which is no file of a release; move that away first"
    assert stocked.storage.read(name) is not None
    assert "4" in versions(stocked)


@pytest.mark.parametrize("data", [b"{", b"[]", b"[" * 100_000, b'{"version": "1"}', b'{"version": 4}'])
def test_a_garbled_manifest_ends_no_command_and_stays(stocked: Registry, data: bytes) -> None:
    stocked.storage.create("7/manifest.json", data)
    assert stays(stocked)["7"].startswith("its manifest.json is ")
    assert main(["releases", "--registry", stocked.uri]) == 0
    with pytest.raises(StepError, match=r"7 is no release: its manifest\.json is "):
        stocked.promote("7")
    assert stocked.storage.read("7/manifest.json") is not None


@pytest.mark.parametrize("linked", ["version", "file"])
def test_links_are_neither_followed_nor_removed(home: Path, linked: str) -> None:
    folder, registry = home / "registry", Registry(str(home / "registry"))
    if linked == "version":
        (folder / "3").symlink_to(home / "Documents")
    else:
        (folder / "2" / MODEL).unlink()
        (folder / "2" / MODEL).symlink_to(home / "notes.txt")
    gone(registry)
    assert (home / "notes.txt").read_text() == (home / "Documents" / "thesis.txt").read_text() == "theirs"
    assert (folder / ("3" if linked == "version" else f"2/{MODEL}")).is_symlink()


def test_nothing_is_written_behind_a_link(home: Path) -> None:
    registry = Registry(str(home / "registry"))
    (home / "registry" / "3").symlink_to(home / "Documents")
    before = everything(home / "Documents")
    with pytest.raises(StepError, match="is a link; a registry has plain files"):
        registry.publish("3", release("3"))
    assert everything(home / "Documents") == before


def test_a_lock_that_is_a_link_is_left_alone(home: Path) -> None:
    lock = home / "registry" / ".lock"
    lock.unlink()
    lock.symlink_to(home / "notes.txt")
    with pytest.raises(StepError, match="cannot be written"):
        Registry(str(home / "registry")).publish("3", release("3"))
    assert (home / "notes.txt").read_text() == "theirs"


@pytest.mark.parametrize(
    "version",
    [
        "..",
        ".",
        "",
        "production",
        "a/b",
        "/x",
        "a\nb",
        "A",
        "x" * 64,
        "\x1b[2J",
        "é",
        ".hidden",
        "-x",
        "x.",
        "\udc80",
    ],
)
def test_a_version_is_a_name_and_no_path(stocked: Registry, version: str) -> None:
    with pytest.raises(StepError, match="is no version of a release"):
        stocked.publish(version, {"manifest.json": json.dumps({"version": version}).encode()})
    for refusing in (stocked.promote, stocked.read):
        with pytest.raises(StepError, match="is no version of a release"):
            refusing(version)


def test_promoting_makes_nothing_else_read_only(home: Path) -> None:
    (home / "registry" / "1" / "notes.txt").write_text("theirs")
    registry = Registry(str(home / "registry"))
    registry.promote("2")
    registry.promote("1")
    assert (home / "registry" / "1" / "notes.txt").stat().st_mode & 0o200
    assert home.stat().st_mode & 0o200


@pytest.mark.parametrize("name", [".release-partial-mine", ".partial-abcdefgh", ".release-partial-abcdefgh.txt"])
def test_old_files_of_others_stay_beside_releases(home: Path, name: str) -> None:
    other = home / "registry" / name
    other.write_text("theirs")
    os.utime(other, (0, 0))
    Registry(str(home / "registry")).publish("3", release("3"))
    assert other.read_text() == "theirs"


def test_the_cache_of_models_removes_only_what_it_left(tmp_path: Path) -> None:
    names = ["a.tmp", "download.partial", f"{'0' * 64}.partial", f"{'0' * 64}.abcdefgh.partial.txt"]
    for name in names:
        (tmp_path / name).write_text("theirs")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / f"{'1' * 64}.abcdefgh.partial").symlink_to(tmp_path / "a.tmp")
    Cache(tmp_path).get(digest(b"a model"), lambda: b"a model")
    assert all((tmp_path / name).read_text() == "theirs" for name in names)
    assert (tmp_path / digest(b"a model")).read_bytes() == b"a model"

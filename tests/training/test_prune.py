"""What is old and never was in production goes; whatever was promoted, or is just being promoted, stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.releases import MODEL, half, release, versions
from training.__main__ import main
from training.registry import retention
from training.registry.registry import Pointer, Registry
from training.registry.retention import Retention, prune
from training.registry.storage import ConflictError, Stored

ALL = Retention(keep=0, days=0)


@pytest.fixture
def registry(stocked: Registry) -> Registry:
    return stocked


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day has passed."""
    monkeypatch.setattr(retention, "GRACE", timedelta())


def gone(registry: Registry, rules: Retention = ALL, dry_run: bool = False) -> list[str]:
    return [verdict.version for verdict in prune(registry, rules, dry_run) if verdict.goes]


def everything(registry: Registry) -> dict[str, bytes]:
    names = [file.name for folder in registry.storage.folders() for file in registry.storage.files(folder)]
    return {name: stored.data for name in (*names, "production") if (stored := registry.storage.read(name))}


def test_what_never_was_in_production_goes(registry: Registry) -> None:
    assert gone(registry) == ["4", "5"]
    assert versions(registry) == ["1", "2", "3"]
    assert registry.production() == Pointer("3", ("1",), ("2",))
    for version in "123":
        assert {file.name for file in registry.storage.files(version)} == {f"{version}/{name}" for name in release("")}


def test_the_newest_and_the_young_stay(registry: Registry) -> None:
    assert gone(registry, Retention(keep=1, days=0)) == ["4"]
    assert gone(registry, Retention(keep=0, days=1)) == []
    assert versions(registry) == ["1", "2", "3", "5"]


def test_each_verdict_has_its_reason(registry: Registry) -> None:
    half(registry, "6")
    verdicts = {verdict.version: verdict.reason for verdict in prune(registry, Retention(1, 0), dry_run=True)}
    assert verdicts == {
        "1": "was in production",
        "2": "was in production",
        "3": "is in production",
        "4": "never in production, published 0 hours ago",
        "5": "among the newest 1",
        "6": "incomplete, its last file written 0 hours ago",
    }


def test_a_dry_run_names_the_same_and_writes_nothing(registry: Registry) -> None:
    half(registry, "6")
    before = everything(registry)
    would = gone(registry, dry_run=True)
    assert everything(registry) == before
    assert would == gone(registry) == ["4", "5"]


def test_what_a_killed_publisher_left_goes_after_a_day(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    half(registry, "6")
    assert "6" not in gone(registry)
    monkeypatch.setattr(retention, "GRACE", timedelta())
    assert "6" in gone(registry)
    assert registry.storage.read(f"6/{MODEL}") is None


def test_a_version_that_was_removed_is_not_published_for_a_day(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone(registry)
    with pytest.raises(ConflictError, match="4 is being removed by prune; publish it under another version"):
        registry.publish("4", release("4"))
    assert gone(registry) == []
    monkeypatch.setattr(retention, "GRACE", timedelta())
    assert gone(registry) == ["4", "5"]
    assert registry.storage.files("4") == []
    registry.publish("4", release("4"))
    assert versions(registry) == ["1", "2", "3", "4"]


def test_what_a_killed_pruner_left_is_finished_by_the_next(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(name: str, generation: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry.storage, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            gone(registry)
    assert versions(registry) == ["1", "2", "3", "5"]
    assert registry.storage.read(f"4/{MODEL}") is not None
    assert gone(registry) == ["4", "5"]
    assert registry.storage.read(f"4/{MODEL}") is None


def test_a_promoted_version_without_a_manifest_is_reported_and_stays(registry: Registry) -> None:
    half(registry, "7")
    registry.storage.replace(
        "production", b'{"version": "7", "history": ["3", "2", "1"]}', _pointer(registry).generation
    )
    verdicts = {verdict.version: verdict for verdict in prune(registry, ALL, dry_run=False)}
    assert verdicts["7"].reason == "is in production, but its manifest is gone"
    assert not verdicts["7"].goes


def _pointer(registry: Registry) -> Stored:
    found = registry.storage.read("production")
    assert found is not None
    return found


def test_the_command_prints_what_goes_and_why(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prune", "--registry", registry.uri, "--keep", "1", "--older-than", "0"]
    assert main([*arguments, "--dry-run"]) == 0
    dry = capsys.readouterr().out.splitlines()
    assert dry[-1] == "1 would be deleted; nothing was changed"
    assert "delete  4                     never in production, published 0 hours ago" in dry
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [*dry[:-1], "1 deleted"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 deleted"


def test_releases_lists_what_was_in_production_and_what_is_none(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    gone(registry, Retention(keep=1, days=0))
    half(registry, "6")
    assert main(["releases", "--registry", registry.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in lines[:-1]] == ["+ 1", "+ 2", "* 3", "  4", "  5", "  6"]
    assert lines[3] == "  4  being removed by `prune`"
    assert lines[5] == "  6  incomplete: publish it again, or remove it with `prune`"
    assert lines[6] == "production: 3"


@pytest.mark.parametrize("wrong", [["--keep", "-1"], ["--older-than", "-1"], ["--keep", "many"]])
def test_wrong_usage_is_refused(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["prune", "--registry", str(tmp_path), *wrong])
    assert raised.value.code == 2


def test_a_first_release_needs_no_pointer(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    registry.publish("1", release("1"))
    assert gone(registry, Retention(keep=1, days=0)) == []
    assert gone(registry) == ["1"]

"""A release is read once and verified wherever one is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import FUNCTION
from tests.releases import MODEL, publish, release
from tests.signatures import public
from training.__main__ import main
from training.config import DriftConfig
from training.deployment.releases import find
from training.errors import StepError
from training.evaluation import champion
from training.learning import teacher
from training.monitoring import drift_report
from training.registry import releases
from training.registry.keys import public_digest
from training.registry.local import release_files
from training.registry.registry import Registry
from training.registry.signing import Signer, Trust, sign


@pytest.fixture
def registry(tmp_path: Path, signed: Path, ours: Path) -> Registry:
    """The bundled release, signed, twice: the first was in production, the second is."""
    found = Registry(str(tmp_path / "registry"))
    for version in ("1", "2"):
        manifest = json.loads((signed / "manifest.json").read_text()) | {"version": version}
        (signed / "manifest.json").write_text(json.dumps(manifest))
        sign(signed, Signer(key=str(ours)))
        found.publish(version, release_files(signed))
        found.promote(version)
    return found


@pytest.fixture(autouse=True)
def _without_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRUSTED_KEY", "TRUSTED_IDENTITY"):
        monkeypatch.delenv(name, raising=False)


def rewritten(registry: Registry, name: str, data: bytes) -> None:
    """Exchange a file of release 1, which is held."""
    path = Path(registry.address("1"), name)
    path.chmod(0o644)
    path.write_bytes(data)


USES: dict[str, Callable[[Registry, Trust | None], object]] = {
    "promote": lambda registry, trust: registry.promote("1", trust),
    "rollback": lambda registry, trust: registry.rollback("1", trust),
    "deploy, rollout": lambda registry, trust: find(registry, "1", trust),
    "champion": lambda registry, trust: champion.named(registry.address("1"), trust),
    "teacher": lambda registry, trust: teacher.write_predictions(
        (registry.address("1"),), Path("nowhere"), Path(registry.uri).parent / "answers", trust
    ),
    "verify-signature": lambda registry, trust: releases.read(registry.address("1"), trust),
}
each_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@each_use
def test_an_exchanged_model_is_refused(registry: Registry, use: Callable[[Registry, Trust | None], object]) -> None:
    rewritten(registry, MODEL, b"another model")
    with pytest.raises(StepError, match="it is damaged or was exchanged"):
        use(registry, None)
    pointer = registry.production()
    assert pointer
    assert pointer.version == "2"


@each_use
@pytest.mark.parametrize("name", ["report.html", ".partial-x", "added.txt"])
def test_every_file_is_covered_by_the_signature(
    registry: Registry, ours: Path, use: Callable[[Registry, Trust | None], object], name: str
) -> None:
    path = Path(registry.address("1"), name)
    if path.exists():
        path.chmod(0o644)
    path.write_bytes(b"theirs")
    with pytest.raises(StepError, match=f"signed: (altered|added) {name}"):
        use(registry, Trust(key=public(ours)))
    pointer = registry.production()
    assert pointer
    assert pointer.version == "2"


@each_use
def test_a_signature_of_somebody_else_is_refused(
    registry: Registry, theirs: Path, use: Callable[[Registry, Trust | None], object]
) -> None:
    with pytest.raises(StepError, match="trusted is the key"):
        use(registry, Trust(key=public(theirs)))


@each_use
@pytest.mark.parametrize("name", ["nested/model.tflite", "nested/.hidden/x", "empty/"])
def test_a_release_with_folders_is_refused(
    registry: Registry, use: Callable[[Registry, Trust | None], object], name: str
) -> None:
    path = Path(registry.address("1"), name)
    (path if name.endswith("/") else path.parent).mkdir(parents=True)
    if not name.endswith("/"):
        path.write_bytes(b"theirs")
    with pytest.raises(StepError, match="a release has plain files only"):
        use(registry, None)


def test_a_release_with_a_link_is_refused_and_not_followed(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("theirs")
    Path(registry.address("1"), "more.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(StepError, match="plain files only"):
        registry.read("1")


def test_what_is_deployed_are_the_bytes_that_were_verified(registry: Registry, ours: Path) -> None:
    found = registry.read("1", Trust(key=public(ours)))
    pinned = find(registry, "1", Trust(key=public(ours))).pinned()
    rewritten(registry, MODEL, b"another model")
    assert found.served().model == (FUNCTION / "model" / MODEL).read_bytes()
    assert pinned["MODEL_SHA256"] == found.digest(MODEL)
    assert pinned["MANIFEST_SHA256"] == found.digest("manifest.json")


def test_metrics_for_drift_are_those_of_a_whole_release(registry: Registry, tmp_path: Path) -> None:
    rewritten(registry, MODEL, b"another model")
    with pytest.raises(StepError, match="exchanged"):
        drift_report.create(registry.address("1"), str(tmp_path), DriftConfig())


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_commands_verify_where_a_signer_is_trusted(
    registry: Registry, ours: Path, theirs: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, "--registry", registry.uri, "1"]
    assert main([*arguments, "--trusted-key", public(theirs)]) == 1
    assert "trusted is the key" in capsys.readouterr().err
    assert registry.in_production() == "2"
    assert main([*arguments, "--trusted-key", public(ours)]) == 0
    assert registry.in_production() == "1"


def test_a_key_in_the_environment_is_trusted_by_every_command(
    registry: Registry, theirs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRUSTED_KEY", public(theirs))
    for command in ("promote", "rollback"):
        assert main([command, "--registry", registry.uri, "1"]) == 1
        assert "trusted is the key" in capsys.readouterr().err
    assert registry.in_production() == "2"


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"a":' * 100_000,
        b'{"version": "1"}',
        b'{"version": "1", "name": "n", "model": []}',
        b'{"version": "1", "name": "n", "model": {"file": [], "sha256": 1}}',
        b'{"version": "1", "name": "../n", "model": {"file": "model.tflite", "sha256": ""}}',
        b'{"version": "1", "name": "n", "model": {"file": "../model.tflite", "sha256": ""}}',
        b'{"version": "1", "version": "1"}',
        b'{"version": "1", "note": NaN}',
        b'{"version": "1", "note": "\\ud800"}',
    ],
    ids=range(11),
)
def test_a_garbled_manifest_is_a_sentence_everywhere(
    registry: Registry, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(registry, "manifest.json", data)
    for use in USES.values():
        with pytest.raises(StepError) as error:
            use(registry, None)
        assert "\n" not in f"{error.value}"
    for command in (["releases"], ["prune", "--dry-run"]):
        assert main([*command, "--registry", registry.uri]) == 0
        assert len([line for line in capsys.readouterr().out.splitlines() if " 1 " in line]) == 1


@pytest.mark.parametrize(
    "pointer",
    [
        b"{",
        b"[]",
        b'{"version": 1}',
        b'{"version": "../1"}',
        b'{"version": "1", "version": "2"}',
        b'{"version": "2", "history": "1"}',
        b'{"version": "2", "history": [1]}',
        b'{"version": "2", "history": ["/etc"]}',
        b'{"version": "production"}',
    ],
)
def test_a_garbled_pointer_is_refused_and_stays(
    registry: Registry, pointer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(registry.uri, "production")
    path.write_bytes(pointer)
    for command in (["releases"], ["promote", "1"], ["rollback"], ["prune"], ["first-release"]):
        assert main([*command, "--registry", registry.uri]) == 1
        assert "is no pointer of a registry" in capsys.readouterr().err
    assert path.read_bytes() == pointer


def test_a_folder_in_the_pointers_place_is_named(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    publish(registry, "1")
    (tmp_path / "registry" / "production").mkdir()
    (tmp_path / "registry" / "production" / "manifest.json").write_bytes(release("1")["manifest.json"])
    with pytest.raises(StepError, match="production is a folder, but the pointer is a file"):
        registry.promote("1")


def test_a_release_without_metrics_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(str(tmp_path / "registry"))
    publish(registry, "1", "2")
    manifest = json.loads(release("3")["manifest.json"]) | {"version": "3", "metrics": [], "created": 7}
    registry.publish("3", {**release("3"), "manifest.json": json.dumps(manifest).encode()})
    assert main(["releases", "--registry", registry.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("  3  unusable: its manifest.json lacks or garbles")
    assert main(["prune", "--dry-run", "--keep", "0", "--registry", registry.uri]) == 0


def test_a_name_that_is_a_path_is_not_published(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    manifest = json.loads(release("1")["manifest.json"]) | {"name": "../predict"}
    with pytest.raises(StepError, match=r"the name '\.\./predict'"):
        registry.publish("1", {**release("1"), "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(StepError, match="'nested/x' is no name of a file of a release"):
        registry.publish("1", {**release("1"), "nested/x": b""})
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("place", ["nowhere", "elsewhere"])
def test_evaluation_against_no_registry_is_an_error(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes.txt").write_text("theirs")
    shutil.copytree(FUNCTION / "model", tmp_path / "work" / "release")
    command = ["evaluate", "--work", str(tmp_path / "work"), "--registry", str(tmp_path / place)]
    assert main(command) == 1
    assert f"{place} is no registry" in capsys.readouterr().err


def test_a_first_release_is_asked_for_and_only_where_none_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    assert main(["first-release", "--registry", registry.uri]) == 0
    assert capsys.readouterr().out == "--first-release\n"
    publish(registry, "1")
    with pytest.raises(StepError, match=r"no production release to compare with; .* use --first-release"):
        champion.in_production(registry)
    assert "only the thresholds apply" in champion.in_production(registry, first_release=True).notes[0]
    registry.promote("1")
    assert main(["first-release", "--registry", registry.uri]) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(StepError, match="has 1 in production; leave --first-release out"):
        champion.in_production(registry, first_release=True)


def test_a_bucket_that_does_not_exist_asks_for_no_first_release(
    in_the_cloud: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["first-release", "--registry", "gs://mistyped/releases"]) == 1
    assert "mistyped" in capsys.readouterr().err


def test_a_registry_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(StepError, match="cannot be written: ") as error:
        Registry("/proc/registry").publish("1", release("1"))
    assert "\n" not in f"{error.value}"


def test_the_bundled_release_is_signed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-signature", "bundled"]) == 0
    assert public_digest(releases.BUNDLED_KEY) in capsys.readouterr().out


def test_the_bundled_release_is_trusted_as_this_code_is(ours: Path) -> None:
    trust = Trust(key=public(ours))
    assert releases.read("bundled", trust).signer == f"the key {public_digest(releases.BUNDLED_KEY)}"
    # A release elsewhere is not a part of the code.
    with pytest.raises(StepError, match="trusted is the key"):
        releases.read(str(FUNCTION / "model"), trust)


def test_an_altered_bundled_release_is_refused(release: Path, monkeypatch: pytest.MonkeyPatch, ours: Path) -> None:
    shutil.copy(FUNCTION / "model" / "model.sig", release)
    monkeypatch.setattr(releases, "BUNDLED_RELEASE", release)
    assert releases.read("bundled", Trust(key=public(ours))).signer
    (release / "card.md").write_text("another card")
    with pytest.raises(StepError, match=r"altered card\.md"):
        releases.read("bundled", Trust(key=public(ours)))


def test_a_bundled_release_of_ones_own_needs_ones_own_signature(
    release: Path, monkeypatch: pytest.MonkeyPatch, ours: Path
) -> None:
    monkeypatch.setattr(releases, "BUNDLED_RELEASE", release)
    with pytest.raises(StepError, match="has no signature"):
        releases.read("bundled", Trust(key=public(ours)))
    sign(release, Signer(key=str(ours)))
    assert releases.read("bundled", Trust(key=public(ours))).signer

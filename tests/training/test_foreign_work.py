"""A step replaces its own folder, and nothing else that lies in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.training.conftest import SHORT
from training.__main__ import main
from training.config import ConvertConfig, PrepareConfig
from training.convert import convert
from training.errors import StepError
from training.faces import write_faces
from training.files import write_text
from training.prepare import prepare
from training.train import train

SMALL = PrepareConfig(size=48, shard_faces=100, validation=0.2, test=0.2)


def _files(folder: Path) -> dict[str, bytes]:
    return {f"{path}": path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(params=["foreign file", "nested registry", "link inside", "no mark", "the folder a link"])
def occupied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A work folder in which something lies under the names of the steps' folders."""
    theirs = tmp_path / "theirs"
    (theirs / "registry").mkdir(parents=True)
    (theirs / "registry" / "production").write_text("{}")
    (theirs / "index.csv").write_text("theirs")
    work = tmp_path / "work"
    work.mkdir()
    for name in ("data", "model", "release"):
        if request.param == "the folder a link":
            (work / name).symlink_to(theirs)
            continue
        (work / name).mkdir()
        if request.param == "foreign file":
            (work / name / "thesis.txt").write_text("theirs")
        elif request.param == "nested registry":
            shutil.copytree(theirs / "registry", work / name / "registry")
        elif request.param == "link inside":
            (work / name / "index.csv").symlink_to(theirs / "index.csv")
        else:
            # Names that a step writes, but nothing by which it would know its own.
            for own in ("index.csv", "config.json", "model.tflite", "manifest.json"):
                (work / name / own).write_text("{}")
    return tmp_path


def test_prepare_replaces_no_folder_of_others(occupied: Path, data: Path) -> None:
    before = _files(occupied)
    with pytest.raises(StepError, match="`prepare` would replace the whole folder: move that away"):
        prepare(data.parent / "faces", occupied / "work" / "data", SMALL)
    assert _files(occupied) == before


def test_train_replaces_no_folder_of_others(occupied: Path, data: Path) -> None:
    before = _files(occupied)
    with pytest.raises(StepError, match="`train` would replace the whole folder: move that away"):
        train(data, occupied / "work" / "model", SHORT, "smoke", resume=False)
    assert _files(occupied) == before


def test_convert_replaces_no_folder_of_others(occupied: Path, data: Path, trained: Path) -> None:
    before = _files(occupied)
    with pytest.raises(StepError, match="`convert` would replace the whole folder: move that away"):
        convert(data, trained, occupied / "work" / "release", ConvertConfig())
    assert _files(occupied) == before


def test_each_step_replaces_what_it_made(data: Path, trained: Path, challenger: Path, tmp_path: Path) -> None:
    for made in (data, trained, challenger):
        shutil.copytree(made, tmp_path / made.name)
        (tmp_path / made.name / "notes.txt").write_text("theirs")
    from training import convert, runs
    from training.data import preparation

    for folder, own in (("data", preparation.FOLDER), ("model", runs.FOLDER), ("release", convert._FOLDER)):
        with pytest.raises(StepError, match=r"holds 'notes\.txt'"):
            own.clear(tmp_path / folder)
        (tmp_path / folder / "notes.txt").unlink()
        own.clear(tmp_path / folder)
        assert not (tmp_path / folder).exists()


def test_drawing_overwrites_no_file_of_others(tmp_path: Path) -> None:
    write_faces(tmp_path, 3)
    write_faces(tmp_path, 4)
    one = min(tmp_path.iterdir())
    one.write_text("theirs")
    assert main(["draw", str(tmp_path), "--count", "4"]) == 1
    assert one.read_text() == "theirs"


def test_a_text_is_never_written_behind_a_link(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.txt"
    theirs.write_text("theirs")
    (tmp_path / "metrics.txt").symlink_to(theirs)
    write_text(tmp_path / "metrics.txt", "é")
    assert theirs.read_text() == "theirs"
    assert (tmp_path / "metrics.txt").read_bytes() == "é".encode()
    assert {path.name for path in tmp_path.iterdir()} == {"theirs.txt", "metrics.txt"}

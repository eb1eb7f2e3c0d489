"""Two versions of the data: every kind of change is found, counted and told."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests import prepared
from training.__main__ import main
from training.config import DriftConfig, PrepareConfig
from training.data import diff, versions
from training.data.diff import DataDiff
from training.data.versions import Versions
from training.faces import write_faces
from training.prepare import prepare

CONFIG = PrepareConfig(size=48, shard_faces=100, validation=0.2, test=0.2)


def compared(old: Path, new: Path) -> DataDiff:
    with Versions(old, new) as both:
        return diff.create(both, DriftConfig())


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with 300 drawn faces."""
    work = tmp_path_factory.mktemp("old")
    write_faces(work / "faces", 300)
    prepare(work / "faces", work / "data", CONFIG)
    return work


@pytest.fixture
def faces(old: Path, tmp_path: Path) -> Path:
    """A copy of these faces, to be changed."""
    return Path(shutil.copytree(old / "faces", tmp_path / "faces"))


def prepared_again(faces: Path) -> Path:
    prepare(faces, faces.parent / "data", CONFIG)
    return faces.parent


def renamed(path: Path, **labels: int) -> Path:
    """Give a file other labels in its name."""
    age, gender, race, rest = path.name.split("_", 3)
    given = {"age": age, "gender": gender, "race": race, **labels}
    return path.rename(path.with_name("_".join([*map(str, given.values()), rest])))


def test_the_same_data_has_no_differences(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(old, old / "data")
    assert (found.added, found.removed, found.relabelled, found.moved, found.renamed) == (0, 0, 0, {}, 0)
    assert found.kept == 300
    assert (found.shifted, found.leaks) == ([], [])
    assert {one.psi for shifts in found.shifts.values() for one in shifts} == {0}
    assert main(["data-diff", str(old), str(old)]) == 0
    assert "Both versions have the same fingerprint" in capsys.readouterr().out


def test_added_removed_and_renamed_faces_are_counted(old: Path, faces: Path) -> None:
    for path in sorted(faces.iterdir())[:7]:
        path.unlink()
    write_faces(faces / "more", 5, seed=1)
    for path in sorted(faces.glob("*.jpg"))[:3]:
        path.rename(path.with_name(path.name.replace(".jpg.chip", "")))
    # A copy of a face is a path more, and no face more.
    copied = max(faces.glob("*.jpg"))
    shutil.copy(copied, faces / "more" / copied.name)
    found = compared(old, prepared_again(faces))
    assert (found.added, found.removed, found.kept, found.renamed) == (5, 7, 293, 4)
    assert (found.relabelled, found.moved) == (0, {})


def test_a_face_with_other_labels_is_relabelled_whatever_its_path(old: Path, faces: Path) -> None:
    first, second, third = sorted(faces.iterdir())[:3]
    renamed(first, age=99)
    renamed(second, race=0 if "_0_4_" in second.name else 4)
    changed = renamed(third, age=98)
    renamed(changed, gender=1 - int(changed.name.split("_")[1]))
    found = compared(old, prepared_again(faces))
    assert found.relabelled == 3
    assert found.relabelled_by == {"age": 2, "gender": 1, "ethnicity": 1}
    assert (found.added, found.removed, found.renamed) == (0, 0, 3)


def test_rejected_files_are_compared_by_kind_of_reason(old: Path, faces: Path) -> None:
    (faces / "notes.txt").write_text("no face")
    (faces / "1_0_0_20170101000000000.jpg").write_bytes(b"no image")
    found = compared(old, prepared_again(faces))
    assert found.rejected == {"name does not parse": (0, 1), "undecodable": (0, 1)}


def earlier_twins(faces: Path, data: Path, split: str) -> None:
    """Add a near-duplicate of each face of a split with an earlier date, which names the group anew."""
    for name, row in prepared.index(data).items():
        if row["split"] == split:
            twin = io.BytesIO()
            Image.open(faces / name).save(twin, "JPEG", quality=80)
            *labels, _ = name.split("_")
            (faces / "_".join([*labels, f"20160101{name.split('_')[3]}"])).write_bytes(twin.getvalue())


@pytest.mark.parametrize(
    ("split", "said"),
    [("test", "Test faces of the old version are now in training"), ("train", "are now test faces")],
)
def test_faces_that_leave_or_enter_the_test_split_are_a_leak(
    old: Path, faces: Path, split: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier_twins(faces, old / "data", split)
    new = prepared_again(faces)
    before, now = prepared.index(old / "data"), prepared.index(new / "data")
    way = ("test", "train") if split == "test" else ("train", "test")
    moved = [name for name, row in before.items() if (row["split"], now[name]["split"]) == way]
    assert moved
    found = compared(old, new)
    assert found.moved[way] == len(moved)
    assert [said in leak and f"{len(moved)}" in leak for leak in found.leaks] == [True]
    assert main(["data-diff", str(old), str(new)]) == 0
    assert f"LEAK: {found.leaks[0]}" in capsys.readouterr().out


def test_a_move_between_train_and_validation_is_no_leak(old: Path, tmp_path: Path) -> None:
    shutil.copytree(old / "data", tmp_path / "data")
    index = (tmp_path / "data" / "index.csv").read_text()
    (tmp_path / "data" / "index.csv").write_text(index.replace(",train,", ",validation,", 1))
    found = compared(old, tmp_path)
    assert (found.moved, found.leaks) == ({("train", "validation"): 1}, [])


def test_a_shift_of_a_distribution_is_found_where_it_is(old: Path, faces: Path) -> None:
    for path in faces.iterdir():
        if path.name.split("_")[1] == "0" or int(path.name.split("_")[0]) < 20:
            path.unlink()
    found = compared(old, prepared_again(faces))
    assert {("all", "age"), ("all", "gender")} <= set(found.shifted)
    assert ("all", "ethnicity") not in found.shifted
    by_measure = {one.measure: one for one in found.shifts["all"]}
    assert by_measure["split"].expected.sum() == 300
    assert by_measure["split"].served.sum() == found.kept


def handmade(folder: Path, columns: str, *rows: str) -> Path:
    """Return a folder with an index as another version of the code wrote it."""
    folder.mkdir()
    (folder / "index.csv").write_text("\n".join([columns, *rows]) + "\n")
    (folder / "rejected.csv").write_text("path,reason\n")
    splits = dict.fromkeys(("train", "validation", "test"), 1)
    record = {"sha256": folder.name, "size": 48, "resize": "r", "faces": splits, "rejected": 0}
    (folder / "fingerprint.json").write_text(json.dumps(record))
    return folder


def test_columns_are_read_by_name_and_missing_labels_are_labels_of_their_own(tmp_path: Path) -> None:
    exact = handmade(
        tmp_path / "exact",
        "path,age,gender,ethnicity,group,split,digest,shard,position",
        "a,30,0,1,g,train,aa,0,0",
        "b,40,1,2,g,train,bb,0,1",
        "c,50,1,2,g,test,cc,0,0",
        "d,10,1,2,g,test,dd,0,1",
    )
    ranges = handmade(
        tmp_path / "ranges",
        "digest,split,path,age,age_high,gender,ethnicity",
        "aa,train,a,30,30,,1",
        "bb,train,b,40,49,1,255",
        "cc,test,c,255,255,1,2",
        "dd,test,d,10,19,1,2",
    )
    found = compared(exact, ranges)
    assert (found.relabelled, found.relabelled_by) == (4, {"age": 3, "gender": 1, "ethnicity": 1})
    by_measure = {one.measure: dict(zip(one.bins, one.served.tolist(), strict=True)) for one in found.shifts["all"]}
    assert by_measure["age"] == {"0-12": 0, "20-39": 1, "40-59": 1, "several bands": 1, "missing": 1}
    assert by_measure["gender"]["missing"] == 1


def test_a_head_of_one_version_alone_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = handmade(tmp_path / "both", "path,age,gender,ethnicity,split,digest", "a,30,0,1,train,aa")
    less = handmade(tmp_path / "less", "path,age,gender,split,digest", "a,30,0,train,aa")
    found = compared(less, both)
    assert (found.relabelled, found.incomparable) == (0, ("ethnicity",))
    assert main(["data-diff", str(less), str(both)]) == 0
    assert "Only one version labels ethnicity, so it is not compared." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        ("path,age,split", "a,30,train", "lacks or garbles 'digest'"),
        ("path,age,split,digest", "a,30,exam,aa", "lacks or garbles the split 'exam'"),
        ("path,age,split,digest", "a,thirty,train,aa", "'thirty'"),
        ("path,gender,split,digest", "a,7,train,aa", "lacks or garbles the label gender 7"),
    ],
)
def test_a_damaged_index_is_refused_with_its_line(
    tmp_path: Path, columns: str, row: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = handmade(tmp_path / "damaged", columns, row)
    assert main(["data-diff", str(damaged), str(damaged)]) == 1
    assert f"line 2 of {damaged / 'index.csv'}" in (error := capsys.readouterr().err)
    assert said in error


def test_a_folder_without_prepared_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data-diff", str(tmp_path), str(tmp_path)]) == 1
    assert f"{tmp_path} has no prepared data" in capsys.readouterr().err


def test_the_files_have_every_count_and_only_the_list_names_faces(old: Path, faces: Path) -> None:
    gone, changed, *_ = sorted(faces.iterdir())
    gone.unlink()
    changed = renamed(changed, age=99)
    write_faces(faces / "more", 1, seed=1)
    new, out = prepared_again(faces), faces.parent / "out"
    options = ["--json", out / "diff.json", "--markdown", out / "diff.md", "--list", out / "list.csv"]
    assert main(["data-diff", *map(str, (old, new, *options))]) == 0
    record = json.loads((out / "diff.json").read_text())
    assert (record["added"], record["removed"], record["relabelled"], record["kept"]) == (1, 1, 1, 299)
    assert set(record["shifts"]) == {"all", "train", "validation", "test"}
    text = (out / "diff.md").read_text()
    assert "| added faces | 1 |" in text
    with (out / "list.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["change"] for row in rows] == ["added", "removed", "relabelled"]
    assert [row["path"] for row in rows[1:]] == [gone.name, changed.name]
    assert "age=99" in rows[2]["new labels"]
    assert "age=99" not in rows[2]["old labels"]
    assert not any(name in text for row in rows for name in (row["path"], row["digest"]))


def test_the_versions_leave_no_database(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Versions(old, old):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    assert versions.find(old) == old / "data"

"""Every file is accounted for, no face is in two splits, and the shards hold what the index says."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving import images
from tests.prepared import index, rejected, splits_by
from training.__main__ import main
from training.config import PrepareConfig
from training.data import shards
from training.data.preparation import summary
from training.errors import StepError
from training.faces import draw, write_faces
from training.labels import ROW
from training.prepare import prepare

CONFIG = PrepareConfig(size=32, shard_faces=16, validation=0.25, test=0.25)
COUNT = 64


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces that no test may change."""
    folder = tmp_path_factory.mktemp("prepare") / "faces"
    write_faces(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def prepared(faces: Path) -> Path:
    """What is made of them."""
    prepare(faces, faces.parent / "data", CONFIG)
    return faces.parent / "data"


@pytest.fixture
def mine(faces: Path, tmp_path: Path) -> Path:
    """Faces that a test may change."""
    return Path(shutil.copytree(faces, tmp_path / "faces"))


def reencoded(jpeg: bytes) -> bytes:
    stream = BytesIO()
    Image.open(BytesIO(jpeg)).save(stream, "JPEG", quality=60)
    return stream.getvalue()


def test_good_faces_are_all_accepted(faces: Path, prepared: Path) -> None:
    fingerprint = shards.fingerprint(prepared)
    assert set(index(prepared)) == {path.name for path in faces.iterdir()}
    assert rejected(prepared) == {}
    assert sum(fingerprint.faces.values()) == COUNT
    assert fingerprint.faces == Counter(row["split"] for row in index(prepared).values())
    assert (fingerprint.size, fingerprint.resize, fingerprint.rejected) == (32, images.RESIZE_RULE, 0)


def test_index_and_shards_hold_the_labels_pixels_and_digest_of_each_file(faces: Path, prepared: Path) -> None:
    for path, row in index(prepared).items():
        pixels, labels = shards.shards(prepared, row["split"])[int(row["shard"])].load()
        data, position = (faces / path).read_bytes(), int(row["position"])
        assert row["digest"] == hashlib.sha256(data).hexdigest()
        assert np.array_equal(pixels[position], images.decode(data, CONFIG.size))
        assert [row["age"], row["gender"], row["ethnicity"]] == path.split("_")[:3]
        assert row["age_high"] == row["age"]
        assert labels[position].tolist() == [int(row[column]) for column in ROW]


def test_a_shard_is_never_larger_than_configured_and_none_is_left_over(prepared: Path) -> None:
    for split, count in shards.fingerprint(prepared).faces.items():
        sizes = [len(shard.load()[0]) for shard in shards.shards(prepared, split)]
        assert sum(sizes) == count
        assert set(sizes[:-1]) <= {CONFIG.shard_faces}


def test_nothing_but_the_result_is_left(prepared: Path) -> None:
    kinds = {path.name for path in prepared.iterdir() if path.suffix != ".npy"}
    assert kinds == {"index.csv", "origin.json", "rejected.csv", "fingerprint.json", "exploration"}
    assert not prepared.with_name("data.partial").exists()


def test_every_file_ends_as_a_face_or_with_its_reason(mine: Path, tmp_path: Path) -> None:
    good = next(path for path in sorted(mine.iterdir()) if path.name.startswith("37_"))
    face = draw(50, 0, 0, seed=999)
    bad = {
        "39_1_20170116174525125.jpg.chip.jpg": (face, "name does not parse"),
        "notes.txt": (b"hello", "name does not parse"),
        "117_0_0_20170116174525125.jpg": (face, "label out of range: age is 117"),
        "50_2_0_20170116174525125.jpg": (face, "label out of range: gender is 2"),
        "50_0_5_20170116174525125.jpg": (face, "label out of range: race is 5"),
        "50_0_0_20170116174525001.jpg": (face[: len(face) // 2], "undecodable: the JPEG image is damaged"),
        "50_0_0_20170116174525002.jpg": (b"not an image", "undecodable: the data is not an image of a known format"),
        "50_0_0_20170116174525003.jpg": (b"", "undecodable: the image is empty"),
        "50_0_0_20170116174525004.jpg": (face, "contradicting twin: 2 byte-identical files"),
        "51_0_0_20170116174525004.jpg": (face, "contradicting twin: 2 byte-identical files"),
        "a/38_1_3_20170101000000000.jpg": (good.read_bytes(), "contradicting twin: 2 byte-identical files"),
    }
    for name, (data, _) in bad.items():
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_bytes(data)
    fingerprint = prepare(mine, tmp_path / "data", CONFIG)
    reasons = {**{name: reason for name, (_, reason) in bad.items()}, good.name: "contradicting twin"}
    found = rejected(tmp_path / "data")
    assert set(found) == set(reasons)
    assert [name for name, reason in reasons.items() if not found[name].startswith(reason)] == []
    assert set(index(tmp_path / "data")) == {path.name for path in mine.glob("*.chip.jpg")} - set(reasons)
    assert sum(fingerprint.faces.values()) + fingerprint.rejected == COUNT + len(bad)


def test_a_name_that_is_no_text_is_accounted_for_too(mine: Path, tmp_path: Path) -> None:
    # What Python makes of a name in another encoding than UTF-8.
    (mine / "\udcff.jpg").write_bytes(b"")
    prepare(mine, tmp_path / "data", CONFIG)
    (reason,) = rejected(tmp_path / "data").values()
    assert reason.startswith("name does not parse")


def test_a_face_whose_name_is_no_text_is_accepted(mine: Path, tmp_path: Path) -> None:
    (mine / "20_1_1_20170101000000999-\udce4.jpg").write_bytes(draw(20, 1, 1, seed=7))
    prepare(mine, tmp_path / "data", CONFIG)
    assert rejected(tmp_path / "data") == {}
    assert "20_1_1_20170101000000999-\\udce4.jpg" in index(tmp_path / "data")


def test_names_run_nothing_in_a_spreadsheet_and_change_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["=HYPERLINK(1).jpg", "+cmd|x.jpg", "\tx.jpg", "\x1b]0;title\x07.jpg", "line\nbreak.jpg"]
    folder = tmp_path / "faces"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    (folder / "=1").mkdir()
    (folder / "=1" / "20_1_1_20170101000000999.jpg").write_bytes(draw(20, 1, 1, seed=7))
    assert main(["prepare", "--preset", "smoke", "--data", str(folder), "--work", str(tmp_path / "work")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    write_faces(folder, COUNT)
    prepare(folder, tmp_path / "data", CONFIG)
    cells = [*rejected(tmp_path / "data"), *index(tmp_path / "data")]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r" or not cell.isprintable()] == []
    assert {"'=HYPERLINK(1).jpg", "'\\tx.jpg", "\\x1b]0;title\\x07.jpg"} <= set(cells)
    assert "'=1/20_1_1_20170101000000999.jpg" in cells


def test_twins_and_near_duplicates_share_group_and_split(mine: Path, tmp_path: Path) -> None:
    families = []
    for number, path in enumerate(sorted(mine.iterdir())[:12]):
        labels = path.name[: path.name.rindex("_")]
        twin, near = f"{labels}_{20180101000000000 + number}.jpg", f"101_0_0_{20190101000000000 + number}.jpg"
        (mine / twin).write_bytes(path.read_bytes())
        (mine / near).write_bytes(reencoded(path.read_bytes()))
        families.append((path.name, twin, near))
    prepare(mine, tmp_path / "data", CONFIG)
    found = index(tmp_path / "data")
    assert rejected(tmp_path / "data") == {}
    for family in families:
        assert len({(found[name]["group"], found[name]["split"]) for name in family}) == 1
    rows = list(found.values())
    assert len({row["group"] for row in rows}) == COUNT
    assert set(splits_by(rows, "group")) == set(splits_by(rows, "digest")) == {1}


def test_copies_count_once_and_are_told(
    faces: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for top in ("UTKFace", "crop_part1", "aligned/UTKFace"):
        shutil.copytree(faces, tmp_path / "threefold" / top)
    fingerprint = prepare(tmp_path / "threefold", tmp_path / "data", CONFIG)
    once = shards.fingerprint(prepared)
    assert (fingerprint.sha256, fingerprint.faces, fingerprint.copies) == (once.sha256, once.faces, 2 * COUNT)
    for path in prepared.glob("*.npy"):
        assert (tmp_path / "data" / path.name).read_bytes() == path.read_bytes()
    rows = index(tmp_path / "data")
    assert len(rows) == 3 * COUNT
    for name, row in index(prepared).items():
        assert {tuple(rows[f"{top}/{name}"].items())[1:] for top in ("UTKFace", "crop_part1", "aligned/UTKFace")} == {
            tuple(row.items())[1:]
        }
    assert "192 files = 64 accepted" in (page := summary(fingerprint))
    assert page.endswith("+ 128 copies of these + 0 rejected")
    arguments = [
        "prepare",
        "--preset",
        "smoke",
        "--data",
        str(tmp_path / "threefold"),
        "--work",
        str(tmp_path / "work"),
    ]
    assert main(arguments) == 0
    assert "folded 128 copies: files with the same bytes and labels count as one face" in capsys.readouterr().out


def test_the_order_of_the_files_changes_nothing(faces: Path, prepared: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for path in sorted(faces.iterdir(), reverse=True):
            tar.add(path, path.name)
    fingerprint = prepare(tmp_path / "faces.tar", tmp_path / "data", CONFIG)
    assert fingerprint == shards.fingerprint(prepared)
    for path in (*prepared.glob("*.npy"), prepared / "index.csv"):
        assert (tmp_path / "data" / path.name).read_bytes() == path.read_bytes()


def test_faces_keep_group_and_split_when_others_are_added(faces: Path, prepared: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "more", COUNT + 36)
    for number, path in enumerate(faces.iterdir()):
        (tmp_path / "more" / f"9_0_0_{20190101000000000 + number}.jpg").write_bytes(reencoded(path.read_bytes()))
    prepare(tmp_path / "more", tmp_path / "data", CONFIG)
    before, after = index(prepared), index(tmp_path / "data")
    assert len(after) == 2 * COUNT + 36
    moved = [name for name, row in before.items() if after[name]["group"] != row["group"]]
    assert moved == [name for name, row in before.items() if after[name]["split"] != row["split"]] == []


def test_the_fingerprint_follows_labels_and_size(mine: Path, prepared: Path, tmp_path: Path) -> None:
    smaller = prepare(mine, tmp_path / "smaller", replace(CONFIG, size=24))
    (mine / "37_1_0_20170101000000001.jpg.chip.jpg").rename(mine / "38_1_0_20170101000000001.jpg.chip.jpg")
    relabelled = prepare(mine, tmp_path / "relabelled", CONFIG)
    assert relabelled.faces == smaller.faces
    assert len({shards.fingerprint(prepared).sha256, smaller.sha256, relabelled.sha256}) == 3


def test_other_faces_than_expected_are_refused_and_leave_the_former_data(
    mine: Path, prepared: Path, tmp_path: Path
) -> None:
    known = shards.fingerprint(prepared).sha256
    assert prepare(mine, tmp_path / "data", CONFIG, known).sha256 == known
    (mine / "30_1_2_20170101000000999.jpg.chip.jpg").write_bytes(draw(30, 1, 2, seed=99))
    with pytest.raises(StepError, match=f"not {known}: these are other faces"):
        prepare(mine, tmp_path / "data", CONFIG, known)
    assert shards.fingerprint(tmp_path / "data").sha256 == known


def test_the_exploration_shows_its_plots(prepared: Path) -> None:
    page = (prepared / "exploration" / "index.html").read_text()
    plots = {path.name for path in (prepared / "exploration").glob("*.png")}
    assert {"age.png", "gender.png", "ethnicity.png", "age-by-gender.png", "gender-by-ethnicity.png"} < plots
    assert [name for name in plots if f'src="{name}"' not in page] == []
    assert f"{COUNT} files = {COUNT} accepted" in page
    for name in plots:
        with Image.open(prepared / "exploration" / name) as plot:
            assert min(plot.size) > 200


def test_a_run_that_fails_leaves_the_former_data(prepared: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    write_faces(tmp_path / "few", 1)
    for source, message in (
        (tmp_path / "few", "too few faces for three splits"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(StepError, match=message):
            prepare(source, data, CONFIG)
        assert {path.name for path in data.iterdir()} == {path.name for path in prepared.iterdir()}


def test_too_few_faces_are_told_with_what_was_rejected(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "me.jpg").write_bytes(draw(50, 0, 0, seed=1))
    with pytest.raises(StepError, match=r"1 files = 0 accepted .* for example me.jpg: name does not parse.*a hundred"):
        prepare(tmp_path / "faces", tmp_path / "data", CONFIG)


def test_a_run_after_one_that_was_killed_starts_anew(faces: Path, prepared: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "data.partial"
    leftover.mkdir()
    (leftover / "staging.sqlite").write_bytes(b"half a database")
    (leftover / "train-00099.pixels.npy").write_bytes(b"half a shard")
    assert prepare(faces, tmp_path / "data", CONFIG) == shards.fingerprint(prepared)
    assert not (tmp_path / "data" / "train-00099.pixels.npy").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_only_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    write_faces(tmp_path / "few", 1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with pytest.raises(StepError, match="too few"):
        prepare(tmp_path / "few", tmp_path / "data", CONFIG)
    assert ("prepare" in capsys.readouterr().err) == terminal

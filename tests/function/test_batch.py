"""`age-gender batch` on Apache Beam's direct runner, in its own environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from age_gender.detection import Detection
from age_gender.local import LocalPredictor
from age_gender.table import json_line
from serving.settings import Settings
from tests import group_photos
from tests.command import age_gender
from tests.conftest import FUNCTION, ROOT
from tests.emulator import Emulator
from training.faces import write_faces

PYTHON = ROOT / ".venv-batch" / "bin" / "python"
FACES = 30
DEFAULT = Settings()

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=".venv-batch is not there; `make test` sets it up")


def batch(
    images: Path | str, output: Path | str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return age_gender("batch", images, "--output", output, *options, python=PYTHON, given=b"", **environment)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(path: Path) -> list[dict[str, Any]]:
    code = "import json, sys, pyarrow.parquet as p; print(json.dumps(p.read_table(sys.argv[1]).to_pylist()))"
    told = subprocess.run([PYTHON, "-c", code, path], capture_output=True, text=True, check=True)
    return list(json.loads(told.stdout))


def expected(folder: Path, settings: Settings = DEFAULT) -> list[dict[str, Any]]:
    """What the function returns for a folder, one image at a time."""
    local = LocalPredictor(settings)
    paths = sorted(map(str, folder.rglob("*.jpg")))
    return [json.loads(json_line(path, *local.predict([Path(path).read_bytes()]))) for path in paths]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("faces")
    write_faces(found / "drawn", FACES)
    (found / "bad.jpg").write_text("no image")
    (found / "empty.jpg").touch()
    (found / "notes.txt").write_text("not asked for")
    return found


@pytest.fixture(scope="module")
def answered(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions of an uninterrupted run."""
    output = tmp_path_factory.mktemp("out") / "predictions.jsonl"
    done = batch(folder, output, "--part-size", "7")
    assert (done.returncode, done.stdout) == (1, f"{output}: {FACES} predictions, 2 errors\n"), done.stderr
    return output


def test_predictions_are_the_functions_own_and_errors_have_a_file(folder: Path, answered: Path) -> None:
    wanted = expected(folder)
    assert lines(answered) == [row for row in wanted if "error" not in row]
    errors = Path(f"{answered}.errors.jsonl")
    assert lines(errors) == [row for row in wanted if "error" in row]
    assert [Path(row["file"]).name for row in lines(errors)] == ["bad.jpg", "empty.jpg"]


def test_the_summary_names_the_model_and_nothing_else_is_left(folder: Path, answered: Path) -> None:
    summary = json.loads(Path(f"{answered}.summary.json").read_text())
    manifest = json.loads((FUNCTION / "model" / "manifest.json").read_text())
    assert summary["model"]["sha256"] == manifest["model"]["sha256"]
    assert (summary["images"], summary["answered"], summary["failed"]) == (str(folder), FACES, 2)
    left = {path.name for path in answered.parent.iterdir()}
    assert left == {answered.name + end for end in ("", ".errors.jsonl", ".summary.json")}


def test_parquet_has_one_flat_row_a_face(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    batch(folder / "drawn", output, "--heads", "age,gender,ethnicity")
    wanted = expected(folder / "drawn", Settings(heads=("age", "gender", "ethnicity")))
    assert table(output) == [
        {
            "file": row["file"],
            "age": row["age"]["years"],
            "age_low": row["age"]["low"],
            "age_high": row["age"]["high"],
            "gender": row["gender"]["label"],
            "gender_probability": row["gender"]["probability"],
            "ethnicity": row["ethnicity"]["label"],
            "ethnicity_probability": row["ethnicity"]["probability"],
            "warnings": ",".join(each["code"] for each in row.get("warnings", ())) or None,
        }
        for row in wanted
    ]


def test_a_finished_batch_is_not_run_again_nor_mixed_with_another(folder: Path, answered: Path) -> None:
    before = answered.stat().st_mtime_ns
    again = batch(folder, answered)
    assert (again.returncode, again.stdout) == (1, f"{answered}: {FACES} predictions, 2 errors\n")
    other = batch(folder, answered, "--heads", "age")
    assert other.returncode == 2
    assert "belongs to another batch, with heads ['age', 'gender'], not ['age']" in other.stderr
    assert answered.stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole images: four faces, one, none, one; and a bad one."""
    found = tmp_path_factory.mktemp("photos")
    group_photos.write(found)
    (found / "bad.jpg").write_text("no image")
    return found


@pytest.fixture(scope="module")
def detections(photos: Path) -> dict[str, Detection]:
    """What the function finds in each photo, by its path."""
    local = LocalPredictor(DEFAULT)
    paths = (path for path in sorted(map(str, photos.rglob("*.*"))) if not path.endswith("bad.jpg"))
    return {path: local.detect(path)[0] for path in paths}


COUNTED = "6 faces in 4 images, none in 1 of them, 1 errors"


def test_a_batch_of_whole_images_has_a_row_a_face_and_loses_none(
    photos: Path, detections: dict[str, Detection], tmp_path: Path
) -> None:
    output = tmp_path / "faces.parquet"
    done = batch(photos, output, "--detect", "--part-size", "2")
    assert (done.returncode, done.stdout) == (1, f"{output}: {COUNTED}\n"), done.stderr
    rows = table(output)
    assert rows == [row for path, each in detections.items() for row in each.as_rows(path, DEFAULT.heads)]
    assert [(Path(row["file"]).name, row["faces"], row["face"]) for row in rows] == [
        *[("group.jpg", 4, number) for number in range(1, 5)],
        ("one.webp", 1, 1),
        ("sky.png", 0, None),
        ("turned.jpg", 1, 1),
    ]
    assert [Path(row["file"]).name for row in lines(Path(f"{output}.errors.jsonl"))] == ["bad.jpg"]
    summary = json.loads(Path(f"{output}.summary.json").read_text())
    counts = {name: summary[name] for name in ("answered", "failed", "faces", "without_face")}
    assert counts == {"answered": 4, "failed": 1, "faces": 6, "without_face": 1}
    again = batch(photos, output, "--detect")
    assert (again.returncode, again.stdout) == (1, done.stdout)
    for other, named in (((), "with detect {"), (("--detect",), "with detect {")):
        refused = batch(photos, output, *other, MAX_FACES="3")
        assert refused.returncode == 2
        assert "belongs to another batch" in refused.stderr
        assert named in refused.stderr


def test_the_lines_of_whole_images_are_one_a_face_too(
    photos: Path, detections: dict[str, Detection], tmp_path: Path
) -> None:
    output = tmp_path / "faces.jsonl"
    assert batch(photos, output, "--detect").stdout == f"{output}: {COUNTED}\n"
    found = lines(output)
    assert [(Path(row["file"]).name, row["faces"], row["face"]) for row in found] == [
        *[("group.jpg", 4, number) for number in range(1, 5)],
        ("one.webp", 1, 1),
        ("sky.png", 0, None),
        ("turned.jpg", 1, 1),
    ]
    faces = [face.as_json() for each in detections.values() for face in each.faces]
    image = {"file", "width", "height", "faces", "face"}
    assert [{name: row[name] for name in row if name not in image} for row in found if row["face"]] == faces


def test_a_finished_batch_of_an_earlier_version_is_known_again(folder: Path, answered: Path, tmp_path: Path) -> None:
    output = tmp_path / "predictions.jsonl"
    for end in ("", ".errors.jsonl", ".summary.json"):
        Path(f"{output}{end}").write_bytes(Path(f"{answered}{end}").read_bytes())
    summary = json.loads(Path(f"{output}.summary.json").read_text())
    assert summary.pop("detect", "missing") is None
    Path(f"{output}.summary.json").write_text(json.dumps(summary))
    assert batch(folder, output).stdout == f"{output}: {FACES} predictions, 2 errors\n"
    assert batch(folder, output, "--detect").returncode == 2


@pytest.mark.slow
def test_a_killed_batch_continues_and_ends_like_an_uninterrupted_one(
    folder: Path, answered: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.jsonl"
    # Small parts, so that the kill falls between the first and the last.
    parts = kill_at_the_first_part(folder, output, "--part-size", "1")
    kept = [path.name for path in parts.glob("part-*.jsonl")]
    assert 0 < len(kept) < FACES + 2
    assert not output.exists()
    # A mark in a part that was done shows that it is not done again.
    marked = parts / min(kept)
    marked.write_bytes(marked.read_bytes().replace(b"{", b'{"kept": true, ', 1))
    inputs = parts / "inputs.jsonl"
    whole = inputs.read_bytes()
    inputs.write_bytes(b"damaged\n" + whole)
    interrupted = batch(folder, output)
    assert interrupted.returncode == 3
    assert "run the same command again to continue" in interrupted.stderr
    inputs.write_bytes(whole)
    assert batch(folder, output).returncode == 1
    rows = [row for path in (output, Path(f"{output}.errors.jsonl")) for row in lines(path)]
    assert [row.pop("kept", False) for row in rows].count(True) == 1
    assert rows == [row for path in (answered, Path(f"{answered}.errors.jsonl")) for row in lines(path)]
    assert not parts.exists()


def kill_at_the_first_part(folder: Path, output: Path, *options: str) -> Path:
    parts = Path(f"{output}.parts")
    command: list[str | Path] = [PYTHON, "-m", "age_gender", "batch", folder, "--output", output, *options]
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(parts.glob("part-*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "the run was over before it was killed"
    return parts


@pytest.mark.parametrize(
    ("images", "options", "code", "told"),
    [
        ("nowhere", ["--output", "a.jsonl"], 2, "nowhere: no image there"),
        ("nowhere", ["--output", "gs:/bucket/a.jsonl"], 2, "'gs:/bucket/a.jsonl' is no address"),
        ("s3://bucket/faces", ["--output", "a.jsonl"], 2, "use a folder or gs://bucket/path"),
        ("nowhere", ["--output", "a.csv"], 2, "must end in .parquet or .jsonl"),
        ("nowhere", ["--output", "a.jsonl", "--haeds", "age"], 2, "unknown to age-gender and to Beam: --haeds"),
        ("nowhere", ["--output", "a.jsonl", "--model", "nowhere"], 3, "nowhere/manifest.json"),
        ("nowhere", ["--output", "a.jsonl", "--part-size", "0"], 2, "at least 1"),
    ],
)
def test_wrong_usage_is_refused(images: str, options: list[str], code: int, told: str) -> None:
    done = age_gender("batch", images, *options, python=PYTHON)
    assert done.returncode == code
    assert told in done.stderr


def test_without_beam_the_command_says_what_to_install(folder: Path) -> None:
    done = age_gender("batch", folder, "--output", "a.jsonl")
    assert done.returncode == 3
    assert "pip install '.[batch]'" in done.stderr


def test_predict_does_not_import_beam(folder: Path) -> None:
    code = (
        f"import sys; from age_gender.__main__ import main; main(['predict', {str(folder / 'drawn')!r}]);"
        "print([name for name in ('apache_beam', 'pyarrow') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    told = subprocess.run([PYTHON, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def bucket(emulator: Emulator, folder: Path) -> str:
    """A bucket with the folder's images."""
    name = f"faces-{time.monotonic_ns()}"
    emulator.create_bucket(name)
    for path in folder.rglob("*.jpg"):
        where = f"{emulator.url}/upload/storage/v1/b/{name}/o?uploadType=media&name=in/{path.relative_to(folder)}"
        httpx.post(where, content=path.read_bytes()).raise_for_status()
    return name


@pytest.mark.parametrize("images", ["in", "in/drawn/*.jpg"])
def test_cloud_storage_is_read_and_written(
    images: str, bucket: str, emulator: Emulator, folder: Path, answered: Path, credentials: str
) -> None:
    output = f"gs://{bucket}/out/predictions.jsonl"
    cloud = {"STORAGE_EMULATOR_HOST": emulator.url, "GOOGLE_APPLICATION_CREDENTIALS": credentials}
    done = batch(f"gs://{bucket}/{images}", output, "--project", "faces", **cloud)
    assert done.stdout == f"{output}: {FACES} predictions, {0 if '*' in images else 2} errors\n", done.stderr
    listed = httpx.get(f"{emulator.url}/storage/v1/b/{bucket}/o", params={"prefix": "out/"}).json()["items"]
    ends = ("", ".errors.jsonl", ".summary.json")
    assert [each["name"] for each in listed] == [f"out/predictions.jsonl{end}" for end in ends]
    text = httpx.get(f"{emulator.url}/storage/v1/b/{bucket}/o/out%2Fpredictions.jsonl?alt=media").text
    assert text.replace(f"gs://{bucket}/in", str(folder)) == answered.read_text()


@pytest.mark.slow
def test_two_thousand_real_faces_are_predicted_as_by_the_function(utkface: Path, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in sorted(utkface.glob("*.jpg"))[::10][:2000]:
        (folder / path.name).symlink_to(path)
    output = tmp_path / "predictions.jsonl"
    done = batch(folder, output)
    assert (done.returncode, done.stdout) == (0, f"{output}: 2000 predictions, 0 errors\n"), done.stderr
    assert lines(output) == expected(folder)


def test_any_folder_and_file_name_can_be_read(face: bytes, tmp_path: Path) -> None:
    images = tmp_path / "faces [2026]"
    images.mkdir()
    for name in ("a.jpg", "b-\udce4.jpg", "c*.jfif"):
        (images / name).write_bytes(face)
    for name in ("IMG.HEIC", "notes.txt", "._a.jpg"):
        (images / name).write_bytes(b"x")
    (tmp_path / "out [1]").mkdir()
    output = tmp_path / "out [1]" / "o.parquet"
    named = f"{tmp_path}/./out [1]/o.parquet"
    done = batch(images, named)
    assert (done.returncode, done.stdout) == (0, f"{named}: 3 predictions, 0 errors\n"), done.stderr
    passed_over = "age-gender: passed over: 1 ._* of macOS, 1 .heic, 1 .txt; convert HEIC to JPEG first\n"
    assert done.stderr == passed_over
    names = [Path(row["file"]).name for row in table(output)]
    assert names == ["a.jpg", "b-\\udce4.jpg", "c*.jfif"]
    assert sorted(path.name for path in output.parent.iterdir()) == [
        f"o.parquet{end}" for end in ("", ".errors.jsonl", ".summary.json")
    ]
    again = batch(images, named)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, passed_over)


# The name of the output, what is in its way (a folder ends in a slash), and the refusal.
UNWRITABLE = (
    ("x" * 240 + ".jsonl", "", "File name too long; choose another --output"),
    ("\udcff.jsonl", "", "the name of --output is not UTF-8"),
    ("1.jsonl", "1.jsonl/", "1.jsonl is a folder"),
    ("2.jsonl", "2.jsonl.summary.json/", "2.jsonl.summary.json is a folder"),
    ("3.jsonl", "3.jsonl.parts", "3.jsonl.parts is a file where the batch needs a folder"),
    ("4.jsonl", "4.jsonl.summary.json", "4.jsonl.summary.json is not of a batch"),
    ("5.jsonl", "5.jsonl.parts/plan.json", "plan.json is not of a batch"),
    ("6.jsonl", "6.jsonl.parts/inputs.jsonl", "inputs.jsonl is not of this batch"),
    ("7.jsonl", "7.jsonl.parts/part-000000.jsonl", "part-000000.jsonl is not of this batch"),
)


def test_an_output_that_cannot_be_written_is_refused_at_the_start(folder: Path, tmp_path: Path) -> None:
    for _, in_the_way, _ in UNWRITABLE:
        theirs = tmp_path / in_the_way
        theirs.parent.mkdir(exist_ok=True)
        if in_the_way.endswith("/"):
            theirs.mkdir()
        elif in_the_way:
            theirs.write_text('{"images": "theirs"}')
    before = {path: path.is_dir() or path.read_text() for path in tmp_path.rglob("*")}
    # In one process, because importing Beam takes longer than a refusal.
    code = (
        "import json, sys; from age_gender.__main__ import main;"
        "print([main(['batch', sys.argv[1], '--output', output]) for output in json.loads(sys.argv[2])])"
    )
    outputs = json.dumps([str(tmp_path / output) for output, _, _ in UNWRITABLE])
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(
        [PYTHON, "-c", code, folder, outputs], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [2] * len(UNWRITABLE)
    for told, (_, _, message) in zip(done.stderr.splitlines(), UNWRITABLE, strict=True):
        assert message in told
    assert {path: path.is_dir() or path.read_text() for path in tmp_path.rglob("*")} == before


def test_no_file_of_others_is_overwritten_or_removed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    output.write_text("theirs")
    refused = batch(folder, output)
    assert refused.returncode == 2
    assert f"{output} exists and is not of this batch; move it away" in refused.stderr
    assert output.read_text() == "theirs"
    output.unlink()
    notes = tmp_path / "answers.jsonl.parts" / "thesis" / "part-000000.jsonl"
    notes.parent.mkdir(parents=True)
    notes.write_text("theirs")
    assert batch(folder, output).returncode == 1
    assert notes.read_text() == "theirs"
    assert [path.name for path in notes.parent.parent.iterdir()] == ["thesis"]


def test_the_summary_of_faces_is_that_of_the_command(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "predictions.jsonl"
    # Several parts on several workers add up to one crowd.
    done = batch(folder, output, "--part-size", "7", "--summary")
    assert done.returncode == 1, done.stderr
    assert f"{output}.demographics.json: shares and ages of all faces" in done.stdout
    found = json.loads(Path(f"{output}.demographics.json").read_text())
    wanted = json.loads(age_gender("summarize", output, "--json").stdout)
    # The file of predictions has no line for an image with an error.
    assert found["not_counted"].pop("errors") == 2
    assert wanted["not_counted"].pop("errors") == 0
    assert found == wanted
    assert found["faces"] + sum(found["not_counted"]["warnings"].values()) == FACES
    again = batch(folder, output, "--part-size", "7")
    assert again.returncode == 2
    assert "demographics True, not False" in again.stderr


def test_a_batch_without_a_face_has_no_shares(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_text("no image")
    output = tmp_path / "predictions.jsonl"
    assert batch(tmp_path / "in", output, "--summary").returncode == 1
    found = json.loads(Path(f"{output}.demographics.json").read_text())
    assert (found["faces"], found["not_counted"]["errors"]) == (0, 1)

"""`prepare-beam` writes what `prepare` writes, byte for byte, on Apache Beam's direct runner and from and to gs://."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import FUNCTION, ROOT
from tests.emulator import Emulator
from tests.photos import background, drawn_face, with_faces
from training.__main__ import main
from training.faces import write_faces

PYTHON = ROOT / ".venv-batch" / "bin" / "python"
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{FUNCTION}"}
FACES = 100
SMALL = ("--preset", "smoke")
# Each line, which is a part or a shard, comes to a worker twice.
TWICE = """
import sys
import apache_beam as beam
from age_gender import pipelines
lines = pipelines.lines
pipelines.lines = lambda pipeline, path: lines(pipeline, path) | beam.FlatMap(lambda line: [line, line])
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
# A face changes between both pipelines.
CHANGED = """
import sys
from pathlib import Path
from training.data.beam_processing import BeamProcessing
write = BeamProcessing.write
def changed(self, chosen):
    Path(max(place for place in self._places if "chip" in place and "more" not in place)).write_bytes(b"no image")
    write(self, chosen)
BeamProcessing.write = changed
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=".venv-batch is not there; `make test` sets it up")


def prepare_beam(
    data: Path | str,
    work: Path | str,
    *options: str,
    code: str = "",
    python: Path = PYTHON,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    begin = ["-c", code] if code else ["-m", "training"]
    return subprocess.run(
        [python, *begin, "prepare-beam", "--data", data, "--work", work, *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, **(environment or {})},
        check=False,
        timeout=300,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder by path, without the record of `prepare` that it need not run again."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop("key.json", None)
    return found


def expected(data: Path, work: Path, *options: str) -> dict[str, bytes]:
    """What `prepare` writes."""
    assert main(["prepare", "--data", str(data), "--work", str(work), *options]) == 0
    return contents(work / "data")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, a copy under its own labels, twins under others, and files that are rejected."""
    folder = tmp_path_factory.mktemp("beam") / "faces"
    write_faces(folder, FACES)
    (folder / "more").mkdir()
    first, second, third, *_ = sorted(folder.glob("*.jpg"))
    shutil.copy(first, folder / "more" / first.name)
    shutil.copy(second, folder / "more" / "9_0_0_20180101000000000.jpg")
    shutil.move(third, folder / "more" / "[odd] näme.jpg")
    (folder / "20_1_1_20170101000000999.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_bytes(b"hello")
    return folder


@pytest.fixture(scope="module")
def prepared(faces: Path) -> dict[str, bytes]:
    return expected(faces, faces.parent / "work", *SMALL)


@pytest.fixture
def bucket(emulator: Emulator) -> str:
    name = f"prepare-{time.monotonic_ns()}"
    emulator.create_bucket(name)
    return name


@pytest.fixture
def cloud(emulator: Emulator, credentials: str) -> dict[str, str]:
    named = {"STORAGE_EMULATOR_HOST": emulator.url, "GOOGLE_APPLICATION_CREDENTIALS": credentials}
    return {**named, "GOOGLE_CLOUD_PROJECT": "faces"}


def upload(emulator: Emulator, bucket: str, folder: Path, prefix: str) -> None:
    for path in filter(Path.is_file, folder.rglob("*")):
        name = quote(f"{prefix}/{path.relative_to(folder)}", safe="")
        address = f"{emulator.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
        httpx.post(address, content=path.read_bytes()).raise_for_status()


def stored(emulator: Emulator, bucket: str, prefix: str) -> dict[str, bytes]:
    objects = f"{emulator.url}/storage/v1/b/{bucket}/o"
    names = [each["name"] for each in httpx.get(objects, params={"prefix": prefix}).json().get("items", ())]
    return {
        name.removeprefix(prefix): httpx.get(f"{objects}/{quote(name, safe='')}?alt=media").content for name in names
    }


def test_a_bucket_gets_what_prepare_writes_of_the_same_files(
    faces: Path, prepared: dict[str, bytes], emulator: Emulator, bucket: str, cloud: dict[str, str]
) -> None:
    upload(emulator, bucket, faces, "in/faces")
    source, work = f"gs://{bucket}/in/faces", f"gs://{bucket}/out"
    done = prepare_beam(source, work, *SMALL, environment=cloud)
    assert done.returncode == 0, done.stderr
    assert "104 files = 98 accepted" in done.stdout
    assert f"exploration: {work}/data/exploration/index.html" in done.stdout
    assert stored(emulator, bucket, "out/data/") == prepared
    assert list(stored(emulator, bucket, "out/")) == [f"data/{name}" for name in sorted(prepared)]

    again = prepare_beam(source, work, *SMALL, environment=cloud)
    assert again.returncode == 1
    assert f"gcloud storage rm -r {work}/data" in again.stderr


def test_a_pattern_chooses_faces_and_a_killed_run_leaves_nothing_that_counts(
    faces: Path, tmp_path: Path, emulator: Emulator, bucket: str, cloud: dict[str, str]
) -> None:
    upload(emulator, bucket, faces, "in/faces")
    # A former run began with more faces, and was killed.
    for name in ("data/train-00007.pixels.npy", "data.parts/decoded-000000.jsonl"):
        (tmp_path / "killed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "killed" / name).write_bytes(b"[]")
    upload(emulator, bucket, tmp_path / "killed", "out")
    some = tmp_path / "faces"
    shutil.copytree(faces, some, ignore=shutil.ignore_patterns("notes.txt"))
    pattern, work = f"gs://{bucket}/in/faces/**.jpg", f"gs://{bucket}/out"
    done = prepare_beam(pattern, work, *SMALL, environment=cloud)
    assert done.returncode == 0, done.stderr
    wanted = expected(some, tmp_path / "work", *SMALL)
    assert stored(emulator, bucket, "out/") == {f"data/{name}": data for name, data in wanted.items()}


@pytest.mark.parametrize("named", [False, True])
def test_a_table_of_ranges_and_persons_labels_the_faces_of_a_bucket(
    named: bool, tmp_path: Path, emulator: Emulator, bucket: str, cloud: dict[str, str]
) -> None:
    folder = tmp_path / "faces"
    write_faces(folder / "images", FACES)
    names = sorted(path.name for path in (folder / "images").iterdir())
    ages = ("20-29", "33", "(0, 2)", "more than 70", "")
    rows = [f"images/{name},{ages[n % 5]},{('femme', 'male', '')[n % 3]},{n // 3}" for n, name in enumerate(names[:-3])]
    table = folder / ("labels.csv" if named else "metadata.csv")
    table.write_text("\n".join(["file_name,years,gender,person", *rows, "images/absent.jpg,30,male,x"]) + "\n")
    values = tmp_path / "values.json"
    values.write_text('{"gender": {"femme": "female"}}')
    options = (*SMALL, "--columns", "age=years", "--values", str(values), "--group", "person")
    upload(emulator, bucket, folder, "faces")
    labels = ("--labels", f"gs://{bucket}/faces/labels.csv") if named else ()
    done = prepare_beam(f"gs://{bucket}/faces", tmp_path / "beam", *options, *labels, environment=cloud)
    assert done.returncode == 0, done.stderr
    labels = ("--labels", str(table)) if named else ()
    wanted = expected(folder, tmp_path / "work", *options, *labels)
    assert contents(tmp_path / "beam" / "data") == wanted
    assert [path.name for path in (tmp_path / "beam").iterdir()] == ["data"]


def test_a_part_or_a_shard_that_a_runner_repeats_changes_nothing(
    faces: Path, prepared: dict[str, bytes], tmp_path: Path
) -> None:
    done = prepare_beam(faces, tmp_path, *SMALL, code=TWICE)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "data") == prepared


def test_a_file_that_changes_meanwhile_ends_the_run_and_leaves_the_former_data(
    faces: Path, prepared: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copytree(faces, tmp_path / "faces")
    shutil.copytree(faces.parent / "work", tmp_path / "work")
    done = prepare_beam(tmp_path / "faces", tmp_path / "work", *SMALL, code=CHANGED)
    assert done.returncode == 1
    assert "changed while it was prepared" in done.stderr.splitlines()[-1]
    assert contents(tmp_path / "work" / "data") == prepared
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["data"]


@pytest.mark.slow
def test_photographs_are_aligned_as_by_prepare(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    # Of drawn faces that the detector finds.
    for age in (age for age in range(20, 100) if age % 5 in (0, 3)):
        stream = io.BytesIO()
        with_faces(background(480, 360, age), [(drawn_face(age), (20 + 2 * age, 60, 220))]).save(stream, "JPEG")
        (folder / f"{age}_{age % 2}_{age % 5}_{20170101000000000 + age}.jpg").write_bytes(stream.getvalue())
    stream = io.BytesIO()
    background(480, 360, 5).save(stream, "JPEG")
    (folder / "50_0_0_20170101000000902.jpg").write_bytes(stream.getvalue())
    done = prepare_beam(folder, tmp_path / "beam", *SMALL, "--align", "--size", "160")
    assert done.returncode == 0, done.stderr
    wanted = expected(folder, tmp_path / "work", *SMALL, "--align", "--size", "160")
    assert b"no face found" in wanted["rejected.csv"]
    assert contents(tmp_path / "beam" / "data") == wanted


# The faces, the options, the exit code, and what is told.
REFUSED = (
    ("gs:/bucket/faces", (), 2, "'gs:/bucket/faces' is no address"),
    ("s3://bucket/faces", (), 2, "use a folder or gs://bucket/path"),
    ("nowhere", (), 1, "nowhere is no folder"),
    ("FACES", ("--rnuner", "x"), 1, "unknown to prepare-beam and to Beam: --rnuner"),
    ("FACES", ("--faces", "largest"), 1, "add --align"),
    ("FACES", ("--labels", "gs:/x"), 2, "is no address"),
    ("FACES", ("--labels", "nowhere.csv"), 1, "nowhere.csv does not exist"),
    ("FACES", ("--group", "person"), 1, "has no metadata.csv"),
    ("FACES", ("--runner", "DataflowRunner", "--project", "faces"), 1, "give gs:// addresses"),
    ("FACES", ("--expect", "0" * 64, *SMALL), 1, f"not {'0' * 64}: these are other faces"),
)


def test_wrong_usage_is_refused_and_leaves_nothing(faces: Path, tmp_path: Path) -> None:
    # In one process, because importing Beam takes longer than a refusal.
    code = """
import contextlib, io, json, sys
from training.__main__ import main
told = []
for data, options in json.loads(sys.argv[-1]):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            code = main(["prepare-beam", "--data", data, "--work", sys.argv[-2], *options])
        except SystemExit as error:
            code = error.code
    told.append([code, stderr.getvalue()])
print(json.dumps(told))
"""
    given = json.dumps([(str(faces) if data == "FACES" else data, options) for data, options, *_ in REFUSED])
    done = prepare_beam("-", "-", str(tmp_path / "work"), given, code=code)
    found = json.loads(done.stdout.splitlines()[-1])
    for (code_found, stderr), (*_, code_wanted, told) in zip(found, REFUSED, strict=True):
        assert (code_found, told in stderr) == (code_wanted, True), stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_of_a_bucket_without_files_or_with_those_of_others_is_refused(
    emulator: Emulator, bucket: str, cloud: dict[str, str], faces: Path, tmp_path: Path
) -> None:
    nothing = prepare_beam(f"gs://{bucket}/none", tmp_path, environment=cloud)
    assert (nothing.returncode, "no file there" in nothing.stderr) == (1, True), nothing.stderr
    absent = prepare_beam("gs://no-such-bucket/faces", tmp_path, environment=cloud)
    assert (absent.returncode, "prepare-beam: Cloud Storage refuses: " in absent.stderr) == (1, True), absent.stderr
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("theirs")
    upload(emulator, bucket, tmp_path / "theirs", "out/data")
    refused = prepare_beam(faces, f"gs://{bucket}/out", environment=cloud)
    assert (refused.returncode, "'thesis.txt', which `prepare` did not write" in refused.stderr) == (1, True)
    assert stored(emulator, bucket, "") == {"out/data/thesis.txt": b"theirs"}


def test_without_beam_the_command_says_what_to_install(faces: Path, tmp_path: Path) -> None:
    done = prepare_beam(faces, tmp_path, python=Path(sys.executable))
    assert done.returncode == 1
    assert "pip install '.[batch]'" in done.stderr


def test_prepare_does_not_import_beam_nor_take_its_options(faces: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; from training.__main__ import main; main(['prepare', '--data', {str(faces)!r}, '--work',"
        f" {str(tmp_path)!r}, '--preset', 'smoke']); print('apache_beam' in sys.modules)"
    )
    environment = {**os.environ, **ENVIRONMENT}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "False"
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "--data", str(faces), "--runner", "DirectRunner"])


@pytest.mark.slow
def test_two_thousand_real_faces_become_the_same_shards_in_two_processes(utkface: Path, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in sorted(utkface.glob("*.jpg"))[::10][:2000]:
        (folder / path.name).symlink_to(path)
    two = ("--direct_running_mode", "multi_processing", "--direct_num_workers", "2")
    done = prepare_beam(folder, tmp_path / "beam", *two)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "beam" / "data") == expected(folder, tmp_path / "work")

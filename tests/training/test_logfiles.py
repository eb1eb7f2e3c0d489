"""Logs are read line by line, from a file, a folder or a bucket, however large and however damaged."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.emulator import Emulator
from training.errors import StepError
from training.monitoring.logfiles import MAX_LINE, lines

HOUR = "run.googleapis.com/stderr/2026/11/25/10:00:00_10:59:59_S0.json"


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A folder to fill, and the address that is read when it is uploaded."""
    if request.param == "folder":
        return tmp_path, str(tmp_path)
    emulator: Emulator = request.getfixturevalue("emulator")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    return tmp_path, f"gs://{emulator.bucket}/{tmp_path.name}"


def fill(place: tuple[Path, str], files: dict[str, bytes]) -> str:
    """Write files, upload them where a bucket is read, and return what is read."""
    folder, address = place
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if address.startswith("gs://"):
        emulator = Emulator(os.environ["STORAGE_EMULATOR_HOST"], address.split("/")[2])
        for parent in sorted({(folder / name).parent for name in files}):
            emulator.upload(parent, f"{folder.name}/{parent.relative_to(folder)}".removesuffix("/."))
    return address


def test_every_line_of_every_file_is_read_in_order(place: tuple[Path, str]) -> None:
    files = {HOUR: b"c\nd\n", HOUR.replace("/25/", "/24/"): b"a\n\n \nb", "z.log": b"e\r\n", "empty.log": b""}
    address = fill(place, files)
    assert list(lines(address)) == [b"a", b"b", b"c", b"d", b"e"]
    assert list(lines(f"{address}/{HOUR}")) == [b"c", b"d"]
    assert list(lines(f"{address}/run.googleapis.com/stderr/2026/11/24/")) == [b"a", b"b"]


def test_rotated_files_are_unpacked(place: tuple[Path, str]) -> None:
    address = fill(place, {"a.log": b"c\n", "a.log.1": b"b\n", "a.log.2.gz": gzip.compress(b"a\n")})
    assert sorted(lines(address)) == [b"a", b"b", b"c"]
    with pytest.raises(StepError, match=r"cut\.gz cannot be read|cut cannot be read"):
        list(lines(fill(place, {"cut/cut.gz": gzip.compress(os.urandom(9999))[:-99]}) + "/cut"))


@pytest.mark.parametrize("indent", [None, 2])
def test_entries_of_a_json_array_are_read_one_by_one(indent: int | None, tmp_path: Path) -> None:
    entries = [{"n": n, "text": "{ \u00fc \\" * (n % 7), "inner": {"list": [{}, n]}} for n in range(3000)]
    (tmp_path / "entries.json").write_text(json.dumps(entries, indent=indent), encoding="utf-8-sig")
    assert [json.loads(entry) for entry in lines(str(tmp_path))] == entries


def test_an_empty_json_array_has_no_entry(tmp_path: Path) -> None:
    (tmp_path / "entries.json").write_text("[]\n")
    assert list(lines(str(tmp_path))) == []


@pytest.mark.parametrize(
    "damaged", [b'[{"a": 1}, {"b": 2', b'[{"a": 1}, {"b": ' + b"x" * 5_000_000, b"[{" + b"[" * 99_999]
)
def test_a_damaged_json_array_is_an_error(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "entries.json").write_bytes(damaged)
    with pytest.raises(StepError, match=r"entries\.json cannot be read: the JSON is damaged or cut off at '\{"):
        list(lines(str(tmp_path)))


def test_a_bracket_that_opens_no_array_begins_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"[1] [INFO] Starting\n[pod/faces] {}\n")
    assert list(lines(str(tmp_path))) == [b"[1] [INFO] Starting", b"[pod/faces] {}"]


def test_a_folder_is_no_prefix(place: tuple[Path, str]) -> None:
    address = fill(place, {"2026/11/2/a.json": b"a\n", "2026/11/25/b.json": b"b\n"})
    assert list(lines(f"{address}/2026/11/2")) == [b"a"]


def test_what_is_not_there_is_said(place: tuple[Path, str]) -> None:
    address = fill(place, {"there.log": b"a\n"})
    with pytest.raises(StepError, match=r"/missing (cannot be read: No such file|contains no file)"):
        list(lines(f"{address}/missing"))


def test_a_folder_without_files_and_a_bucket_that_is_not_there_are_said(place: tuple[Path, str]) -> None:
    missing = "gs://not-a-bucket/logs" if place[1].startswith("gs://") else place[1]
    with pytest.raises(StepError, match=r"gs://not-a-bucket/logs cannot be read|contains no file"):
        list(lines(missing))


def test_files_last_written_before_are_left_out(place: tuple[Path, str]) -> None:
    address = fill(place, {"a.log": b"a\n"})
    now = datetime.now(UTC)
    assert list(lines(address, now - timedelta(hours=1))) == [b"a"]
    assert list(lines(address, now + timedelta(hours=1))) == []


def test_of_a_line_too_long_only_the_beginning_is_read(place: tuple[Path, str]) -> None:
    address = fill(place, {"a.log": b"a\n" + b"x" * (3 * MAX_LINE + 7) + b"\nb\n" + b"y" * MAX_LINE + b"\nc"})
    assert [(line[:1], len(line)) for line in lines(address)] == [
        (b"a", 1),
        (b"x", MAX_LINE),
        (b"b", 1),
        (b"y", MAX_LINE),
        (b"c", 1),
    ]


def test_a_large_log_takes_no_more_memory_than_a_piece_of_it(place: tuple[Path, str]) -> None:
    # 24 MB
    address = fill(place, {"a.log": (b"x" * 999 + b"\n") * 24_000})
    # What is imported and kept for the first file is no matter of size.
    list(lines(fill(place, {"small/b.log": b"b\n"}) + "/small"))
    tracemalloc.start()
    assert sum(1 for _ in lines(f"{address}/a.log")) == 24_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 14 * 2**20

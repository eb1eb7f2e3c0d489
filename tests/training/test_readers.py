"""Folders and archives give the same files, and a hostile archive does no harm."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from training.data import archives, readers
from training.errors import StepError

FILES = {"a.jpg": b"one", "part/b.jpg": b"two" * 1000, "part/deeper/c.txt": b""}
MEBIBYTE = 2**20


def make_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("part")
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        compression = {".tar": "", ".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}[path.suffix]
        with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]
            tar.addfile(header("part", kind=tarfile.DIRTYPE))
            for name, data in files.items():
                tar.addfile(header(name, len(data)), io.BytesIO(data))
    return path


def contents(source: Path) -> dict[str, bytes]:
    found = list(readers.read(source))
    assert [file for file in found if file.refusal] == []
    return {file.path: file.data for file in found}


def refusals(source: Path) -> dict[str, str]:
    return {file.path: file.refusal for file in readers.read(source) if file.refusal}


def noise(size: int) -> bytes:
    """Bytes that compress to about a half: a damaged code among them is found at once, not by a checksum."""
    return random.Random(0).randbytes(size // 2).hex().encode()  # noqa: S311 - nothing is kept secret with it


def test_a_folder_is_read_to_its_depth(tmp_path: Path) -> None:
    assert contents(make_folder(tmp_path, FILES)) == FILES
    assert readers.count(tmp_path) == 3


@pytest.mark.parametrize("name", ["f.tar", "f.tar.gz", "f.tgz", "f.tar.bz2", "f.tar.xz", "f.zip", "F.ZIP"])
def test_an_archive_gives_the_same_files_and_nothing_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    archive = pack(tmp_path / name, FILES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert contents(archive) == FILES
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("name", ["f.tar", "f.zip"])
@pytest.mark.parametrize("path", ["../x.jpg", "part/../../x.jpg", "/etc/x.jpg", "..\\x.jpg"])
def test_a_path_that_leads_outside_is_refused_and_the_rest_is_read(tmp_path: Path, name: str, path: str) -> None:
    archive = pack(tmp_path / name, {path: b"evil", "good.jpg": b"good"})
    first, second = readers.read(archive)
    assert first == readers.SourceFile(path, refusal="unsafe path: it leads outside the archive")
    assert second == readers.SourceFile("good.jpg", b"good")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "f.tar", "w") as tar:
        tar.addfile(header("x.jpg", kind=kind, link="/etc/passwd"))
    assert refusals(tmp_path / "f.tar") == {"x.jpg": "not a regular file"}


def test_what_is_no_file_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    kind = "not a regular file"
    link = "a link to a folder: give that folder as --data"
    assert refusals(tmp_path) == {"pipe.jpg": kind, "loop": link, "dangling.jpg": kind}


@pytest.mark.parametrize("name", ["folder", "f.tar", "f.zip"])
def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    files = {"small.jpg": b"12345", "large.jpg": b"123456"}
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", 5)
    source = make_folder(tmp_path / name, files) if name == "folder" else pack(tmp_path / name, files)
    assert refusals(source) == {"large.jpg": "too large: 6 bytes, at most 5 are read"}


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "f.zip", {"x.jpg": b"secret"})
    raw = bytearray(archive.read_bytes())
    # The flag in the header of the file, and in the directory at the archive's end.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.rindex(signature) + offset] |= 1
    archive.write_bytes(raw)
    assert refusals(archive)["x.jpg"] == "encrypted"


@pytest.mark.parametrize("name", ["f.tar", "f.tar.gz", "f.tar.bz2", "f.tar.xz", "f.zip"])
def test_a_truncated_archive_is_damaged(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / name, {f"{number}.jpg": noise(5000) for number in range(8)})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    with pytest.raises(StepError, match="is damaged after"):
        list(readers.read(archive))


@pytest.mark.parametrize("kept", [3 * 512, 3 * 512 + 100, 4 * 512])
def test_a_tar_cut_off_at_a_header_is_damaged(tmp_path: Path, kept: int) -> None:
    archive = pack(tmp_path / "f.tar", {"a.jpg": b"one", "b.jpg": b"two"})
    # The folder's header takes one block of 512 bytes, each file two.
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(StepError, match="is damaged after"):
        list(readers.read(archive))


@pytest.mark.parametrize("name", ["f.tar", "f.tar.gz", "f.tar.xz", "f.zip"])
def test_bytes_changed_within_an_archive_are_damage(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / name, {f"{number}.jpg": noise(5000) for number in range(8)})
    raw = bytearray(archive.read_bytes())
    # In a plain tar the header of its second file, in a zip the first compressed byte.
    place = {"f.tar": 512 + 512 + 5120, "f.zip": raw.find(b"0.jpg") + 5}.get(name, len(raw) // 2)
    raw[place : place + 200] = b"\xff" * 200
    archive.write_bytes(raw)
    with pytest.raises(StepError, match="is damaged after"):
        list(readers.read(archive))


@pytest.mark.parametrize("name", ["f.tar", "f.tar.gz", "f.tgz", "f.zip"])
@pytest.mark.parametrize("data", [b"", b"this is no archive" * 1000], ids=["empty", "text"])
def test_a_file_that_is_no_archive_is_damaged(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(StepError, match="is damaged after 0 files"):
        list(readers.read(tmp_path / name))


def test_a_source_of_another_kind_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "faces.rar").write_bytes(b"Rar!")
    with pytest.raises(StepError, match=r"neither a folder nor one of \.tar, .*\.zip"):
        readers.read(tmp_path / "faces.rar")


def test_a_missing_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="nowhere does not exist; give a folder of faces or a"):
        readers.read(tmp_path / "nowhere")


def pack_long_name(path: Path, length: int) -> None:
    """A tar whose bulk is no file but the name of one, which tarfile reads whole."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        tar.addfile(header("././@LongLink", length, tarfile.GNUTYPE_LONGNAME), io.BytesIO(bytes(length)))
        tar.addfile(header("x.jpg"))


@pytest.mark.parametrize(
    "bomb", ["one.tar.gz", "many.tar.gz", "one.tar.bz2", "one.tar.xz", "one.zip", "many.zip", "name.tar.gz"]
)
def test_a_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: str
) -> None:
    size = 32 * MEBIBYTE
    if bomb.startswith("name"):
        pack_long_name(tmp_path / bomb, size)
    else:
        count = 1 if bomb.startswith("one") else 64
        pack(tmp_path / bomb, {f"{number}.jpg": bytes(size // count) for number in range(count)})
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", MEBIBYTE)
    # A tar's reader reserves as many bytes as it is asked for.
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", MEBIBYTE)
    tracemalloc.start()
    try:
        with pytest.raises(StepError, match="looks like a decompression bomb"):
            list(readers.read(tmp_path / bomb))
        assert tracemalloc.get_traced_memory()[1] < size / 3
    finally:
        tracemalloc.stop()

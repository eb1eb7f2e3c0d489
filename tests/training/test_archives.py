"""Hostile, foreign and misnamed archives: bounded work, and a reason that is true."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import subprocess
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.training.test_readers import FILES, contents, header, noise, pack, refusals
from training.data import readers
from training.errors import StepError

MEBIBYTE = 2**20


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def block(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, size, kind).tobuf(tarfile.GNU_FORMAT)


def record(key: str, value: str) -> bytes:
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return f"{length} {key}={value}\n".encode()


def pax(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    data = b"".join(records)
    return block("pax", len(data), kind) + padded(data)


def face(name: str = "x.jpg") -> bytes:
    return block(name, 3) + padded(b"one")


END = bytes(1024)


def pax_sparse_map(entries: int) -> bytes:
    numbers = ",".join("0" for _ in range(2 * entries))
    return pax(
        record("GNU.sparse.size", "3"),
        record("GNU.sparse.numblocks", str(entries)),
        record("GNU.sparse.map", numbers),
    )


def gnu_sparse(blocks: int) -> bytes:
    """A header of GNU's old sparse format whose map goes on for that many blocks."""
    first = bytearray(block("x.jpg", 3, b"S"))
    first[482] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    more = bytearray(512)
    more[504] = 1
    return bytes(first) + bytes(more) * (blocks - 1) + bytes(512) + padded(b"one")


# name -> contents of a tar, and what becomes of it: rejected files, or the message that ends the step
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a sparse map in a pax header": (lambda: pax_sparse_map(2000) + face() + END, "a sparse file"),
    "a sparse map that claims 10^11 entries": (
        lambda: (
            pax(record("GNU.sparse.major", "1"), record("GNU.sparse.minor", "0"), record("GNU.sparse.name", "x.jpg"))
            + block("x.jpg", 512)
            + padded(b"100000000000\n")
            + END
        ),
        "a sparse file",
    ),
    "a sparse map of 200,000 blocks": (lambda: gnu_sparse(200_000) + END, "a sparse file"),
    "2,000 pax headers": (lambda: pax(record("path", "x.jpg")) * 2000 + face() + END, "more than 16 headers"),
    "2,000 long names": (
        lambda: (block("././@LongLink", 6, tarfile.GNUTYPE_LONGNAME) + padded(b"x.jpg\0")) * 2000 + face() + END,
        "more than 16 headers",
    ),
    "300 global headers of 1 MB": (
        lambda: (
            b"".join(
                pax(record(f"comment{number}", "x" * 10**6), kind=tarfile.XGLTYPE) + face(f"{number}.jpg")
                for number in range(300)
            )
            + END
        ),
        "bomb",
    ),
    "200,000 records in a pax header": (
        lambda: pax(*(record(f"k{number}", "") for number in range(50_000))) + face() + END,
        "a pax header is invalid",
    ),
    "a number of 5,000 digits": (lambda: pax(record("size", "9" * 5000)) + face() + END, "invalid number"),
    "a record without an end": (lambda: pax(b"99999 path=x") + face() + END, "a pax header is invalid"),
    "a size of 2^63": (
        lambda: pax(record("size", str(2**63))) + face() + END,
        "decompression bomb",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tar_costs_little_and_ends_with_a_reason(kind: str, tmp_path: Path) -> None:
    make, said = HOSTILE[kind]
    archive = tmp_path / "faces.tar.gz"
    archive.write_bytes(gzip.compress(make(), compresslevel=1))
    began = time.process_time()
    tracemalloc.start()
    try:
        found = [file.refusal for file in readers.read(archive) if file.refusal]
    except StepError as error:
        found = [str(error)]
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(found) == 1
    assert said in found[0]
    assert peak < 16 * MEBIBYTE
    assert time.process_time() - began < 5


def test_headers_between_many_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "f.tar").write_bytes((pax(record("comment", "x"), kind=tarfile.XGLTYPE) + face()) * 3000 + END)
    assert len(list(readers.read(tmp_path / "f.tar"))) == 3000


def test_nested_folders_are_read_to_any_depth(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    try:
        assert readers.count(folder) is not None
    finally:
        # Python's own removal is recursive.
        subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.parametrize("length", [100, 101, 255, 256, 300])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_length_and_form_are_read(length: int, form: int, tmp_path: Path) -> None:
    name = f"{'f' * 90}/{'ä' if form != tarfile.USTAR_FORMAT else 'a'}"
    name += "x" * (length - len(name.encode()) - 4) + ".jpg"
    if form == tarfile.USTAR_FORMAT and length > 100:
        name = f"{'f' * 90}/{'g' * 90}.jpg"
    with tarfile.open(tmp_path / "f.tar", "w", format=form) as tar:
        tar.addfile(header(name, 3), io.BytesIO(b"one"))
        tar.addfile(header("next.jpg", 3), io.BytesIO(b"two"))
    assert contents(tmp_path / "f.tar") == {name: b"one", "next.jpg": b"two"}


def test_a_name_that_is_no_utf_8_is_the_same_as_in_a_folder(tmp_path: Path) -> None:
    name = os.fsdecode(b"b-\xe4.jpg")
    with tarfile.open(tmp_path / "f.tar", "w", errors="surrogateescape", encoding="utf-8") as tar:
        tar.addfile(header(name, 3), io.BytesIO(b"one"))
    assert list(contents(tmp_path / "f.tar")) == [name]


def test_a_zip_member_that_becomes_more_than_it_states_stays_small_in_memory(tmp_path: Path) -> None:
    archive = tmp_path / "f.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as writer:
        writer.writestr("x.jpg", bytes(128 * MEBIBYTE))
    raw = bytearray(archive.read_bytes())
    place = raw.rindex(b"PK\1\2")
    raw[place + 24 : place + 28] = struct.pack("<I", 100)
    archive.write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(StepError, match="is damaged after 1 files"):
            list(readers.read(archive))
        assert tracemalloc.get_traced_memory()[1] < 80 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_an_xz_file_may_not_ask_for_all_the_memory(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * MEBIBYTE, "preset": 0}]
    (tmp_path / "f.tar.xz").write_bytes(lzma.compress(face() + END, filters=filters))
    with pytest.raises(StepError, match="needs more than 128 MiB to be unpacked; pack the faces again"):
        list(readers.read(tmp_path / "f.tar.xz"))


def test_streams_of_xz_that_follow_each_other_are_one_archive(tmp_path: Path) -> None:
    tar = face("a.jpg") + face("b.jpg") + END
    (tmp_path / "f.tar.xz").write_bytes(lzma.compress(tar[:700]) + bytes(8) + lzma.compress(tar[700:]))
    assert list(contents(tmp_path / "f.tar.xz")) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["f.tar", "f.tar.gz", "f.tar.bz2", "f.tar.xz", "f.zip"])
def test_no_flipped_bit_ends_in_a_traceback(name: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / name, {f"{number}.jpg": noise(300) for number in range(6)})
    whole = archive.read_bytes()
    random = Random(7)  # noqa: S311 - nothing is kept secret with it
    for _ in range(300):
        raw = bytearray(whole)
        for _ in range(random.choice((1, 2, 8))):
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
        archive.write_bytes(raw[: random.choice((len(raw), random.randrange(len(raw))))])
        with suppress(StepError):
            for file in readers.read(archive):
                assert len(file.data) <= readers.MAX_FILE_BYTES


def test_backslashes_in_an_archive_separate_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for name in ("UTKFace\\", "UTKFace\\a.jpg"):
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, b"one" if name.endswith("jpg") else b"")
    assert contents(tmp_path / "f.zip") == {"UTKFace/a.jpg": b"one"}


@pytest.mark.parametrize(
    ("packed", "called"),
    [
        ("f.tar", "faces.tar.gz"),
        ("f.tar.gz", "faces.tar"),
        ("f.tgz", "faces.zip"),
        ("f.zip", "faces.tar"),
        ("f.tar.xz", "faces"),
        ("f.zip", "faces.download"),
    ],
)
def test_the_first_bytes_tell_an_archive_and_not_its_name(packed: str, called: str, tmp_path: Path) -> None:
    pack(tmp_path / packed, FILES).rename(tmp_path / called)
    assert contents(tmp_path / called) == FILES


def test_an_archive_for_another_unpacker_is_not_called_damaged(tmp_path: Path) -> None:
    archive = pack(tmp_path / "f.zip", {"x.jpg": noise(1000)})
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        raw[raw.rindex(signature) + offset] = 9
    archive.write_bytes(raw)
    with pytest.raises(StepError, match=r"compressed with Deflate64.* pack the faces again with Deflate") as refused:
        list(readers.read(archive))
    assert "damaged" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"Rar!\x1a\x07\1\0", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
        (b"<!DOCTYPE html><html><head><title>Virus scan warning</title></head></html>", "a web page"),
    ],
)
def test_what_people_give_instead_is_named(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(data)
    with pytest.raises(StepError, match=said):
        readers.read(tmp_path / "faces.zip")


def test_a_link_to_a_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "UTKFace").symlink_to(tmp_path / "faces", target_is_directory=True)
    assert refusals(tmp_path / "links") == {"UTKFace": "a link to a folder: give that folder as --data"}

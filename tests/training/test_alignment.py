"""Photographs become the crops that the function predicts from, and each one that cannot is listed with its reason."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from age_gender.local import LocalPredictor
from serving.detection import files
from serving.settings import Settings
from tests.photos import Place, background, drawn_face, photo, with_faces
from tests.prepared import index, rejected
from training.__main__ import main
from training.config import LARGEST_FACE, PrepareConfig
from training.data import alignment, shards
from training.data.alignment import Aligner
from training.errors import RejectedFileError
from training.faces import write_faces
from training.prepare import prepare

# The size that the bundled release predicts from.
CONFIG = PrepareConfig(size=160, validation=0.25, test=0.25, align=True)
# Of drawn faces that the detector finds.
AGES = [age for age in range(20, 100) if age % 5 in (0, 3)]
TWIN, NO_FACE, TWO_FACES, NO_IMAGE = 900, 901, 902, 903


def jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def name(age: int, stamp: int) -> str:
    return f"{age}_{age % 2}_{age % 5}_{20170101000000000 + stamp}.jpg"


def portrait(age: int, place: Place, seed: int) -> bytes:
    return jpeg(with_faces(background(480, 360, seed), [(drawn_face(age), place)]))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of one face each, one of them once more on another background, and others that are rejected."""
    folder = tmp_path_factory.mktemp("photographs") / "files"
    folder.mkdir()
    for age in AGES:
        (folder / name(age, age)).write_bytes(portrait(age, (20 + 2 * age, 60, 220), age))
    (folder / name(30, TWIN)).write_bytes(portrait(30, (200, 100, 220), 31))
    (folder / name(50, NO_FACE)).write_bytes(jpeg(background(480, 360, 5)))
    (folder / name(50, TWO_FACES)).write_bytes(jpeg(photo((60, 100, 250), (420, 250, 180))))
    (folder / name(50, NO_IMAGE)).write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def aligned(photographs: Path) -> Path:
    """What is made of them."""
    prepare(photographs, photographs.parent / "aligned", CONFIG)
    return photographs.parent / "aligned"


@pytest.fixture(scope="module")
def plain(photographs: Path) -> Path:
    """What is made of them without alignment."""
    prepare(photographs, photographs.parent / "plain", replace(CONFIG, align=False))
    return photographs.parent / "plain"


def test_photographs_that_cannot_be_used_are_listed_with_the_reason(aligned: Path) -> None:
    reasons = rejected(aligned)
    assert reasons.pop(name(50, NO_IMAGE)).startswith("undecodable: ")
    assert reasons == {
        name(50, NO_FACE): "no face found",
        name(50, TWO_FACES): "several faces: 2; give --faces largest to take the largest",
    }
    assert len(index(aligned)) == len(AGES) + 1
    page = " ".join((aligned / "exploration" / "index.html").read_text().split())
    assert "aligned by the function's detector: the only face" in page
    assert all(f">{reason}<" in page for reason in ("no face found", "several faces", "undecodable"))


def test_the_pixels_are_those_that_the_function_predicts_from(photographs: Path, aligned: Path) -> None:
    predictor = LocalPredictor(Settings())
    assert predictor.release.size == CONFIG.size
    for path, row in list(index(aligned).items())[::8]:
        pixels, _ = shards.shards(aligned, row["split"])[int(row["shard"])].load()
        crop = io.BytesIO()
        Image.fromarray(pixels[int(row["position"])]).save(crop, "PNG")
        (found,) = predictor.detect([photographs / path])
        (predicted,) = predictor.predict([crop.getvalue()])
        assert found.faces[0].estimates == predicted.estimates


def test_near_duplicates_are_found_after_the_alignment(aligned: Path, plain: Path) -> None:
    twins = [name(30, 30), name(30, TWIN)]
    assert len({index(aligned)[twin]["group"] for twin in twins}) == 1
    assert len({index(plain)[twin]["group"] for twin in twins}) == 2


def test_the_fingerprint_states_the_alignment_and_the_detector(aligned: Path, plain: Path) -> None:
    one, other = shards.fingerprint(aligned), shards.fingerprint(plain)
    assert one.alignment == alignment.identity(CONFIG)
    assert one.alignment["detector"] == files.section()
    assert one.alignment != alignment.identity(replace(CONFIG, faces=LARGEST_FACE))
    assert "alignment" not in json.loads((plain / "fingerprint.json").read_text())
    assert one.sha256 != other.sha256
    assert "detector" not in (plain / "exploration" / "index.html").read_text()


def test_crops_of_utkface_are_taken_as_they_are(tmp_path: Path) -> None:
    config = replace(CONFIG, size=32)
    write_faces(tmp_path / "chips", 32)
    one = prepare(tmp_path / "chips", tmp_path / "aligned", config)
    other = prepare(tmp_path / "chips", tmp_path / "plain", replace(config, align=False))
    for path in (tmp_path / "plain").glob("*.npy"):
        assert (tmp_path / "aligned" / path.name).read_bytes() == path.read_bytes()
    assert one.faces == other.faces
    assert one.sha256 != other.sha256


def test_a_face_that_is_too_small_is_rejected_and_does_not_count_beside_a_large_one() -> None:
    both = jpeg(photo((60, 100, 250), (420, 250, 180)))
    with pytest.raises(RejectedFileError, match="several faces: 2;"):
        Aligner(CONFIG).read(both)
    largest = Aligner(replace(CONFIG, faces=LARGEST_FACE)).read(both)
    side = largest.width
    only = Aligner(replace(CONFIG, min_face_side=side)).read(both)
    assert np.array_equal(only.pixels, largest.pixels)
    with pytest.raises(RejectedFileError, match=f"^face too small: {side} pixels, at least {side + 1}$"):
        Aligner(replace(CONFIG, min_face_side=side + 1)).read(both)


def test_a_face_is_cut_out_of_the_photograph_at_the_scale_that_it_needs() -> None:
    large = with_faces(background(3000, 2000), [(drawn_face(30), (1000, 800, 400))])
    aligner = Aligner(CONFIG)
    searched_reduced, searched_whole = (
        aligner.read(jpeg(each)) for each in (large, large.crop((800, 600, 1500, 1200)))
    )
    assert searched_reduced.width == pytest.approx(searched_whole.width, abs=10)
    edges = [np.abs(np.diff(each.pixels.astype(float), axis=0)).mean() for each in (searched_reduced, searched_whole)]
    assert edges[0] > 0.9 * edges[1]


def test_faces_without_align_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_faces(tmp_path / "chips", 1)
    arguments = ["prepare", "--data", str(tmp_path / "chips"), "--work", str(tmp_path / "work"), "--faces", "largest"]
    assert main(arguments) == 1
    assert "add --align" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PHOTOS_DIR"), reason="PHOTOS_DIR is not set: it names a folder of photographs")
def test_the_faces_of_real_photographs_are_found() -> None:
    paths = sorted(Path(os.environ["PHOTOS_DIR"]).glob("*.jpg"))[:40]
    aligner = Aligner(replace(CONFIG, faces=LARGEST_FACE))
    found, reasons = [], set()
    for path in paths:
        try:
            found.append(aligner.read(path.read_bytes()))
        except RejectedFileError as error:
            reasons.add(str(error))
    assert reasons <= {"no face found"}
    assert len(found) >= 0.9 * len(paths)
    assert {face.pixels.shape for face in found} == {(CONFIG.size, CONFIG.size, 3)}

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from serving.detection import DetectorError, crops, detectors, geometry, photos
from serving.detection.detectors import REFINE, SEARCH, Detector
from serving.detection.faces import Face
from serving.detection.geometry import Frame
from serving.detection.refinement import Refiner
from serving.detection.search import FaceFinder, Options
from serving.images import UprightImage, inspect
from serving.limits import Limits
from serving.settings import Settings
from tests.function.bad_images import saved
from tests.photos import with_faces

GREEN = (110, 130, 115)
OPTIONS = Options(Settings().min_face_score, Settings().min_face_size)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def faces(utkface: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(utkface.glob("3[0-5]_*.jpg"))[:12]]


def scene(size: tuple[int, int], *pasted: tuple[Image.Image, int, tuple[int, int]]) -> Image.Image:
    return with_faces(Image.new("RGB", size, GREEN), ((face, (*corner, side)) for face, side, corner in pasted))


def distance(face: Face, left: float, top: float, side: float) -> float:
    """Mean distance of the aligned crop's corners from those of a pasted chip, in sides of the chip."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    apart = face.frame.to_image(corners) - (corners * side + (left, top))
    return float(np.hypot(*apart.T).mean() / side)


def test_a_frame_maps_the_template_to_the_points() -> None:
    template = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.8]])
    frame = Frame(80 * np.exp(0.5j), 10 + 20j)
    found = geometry.fit(template, frame.to_image(template))
    assert found.turn == pytest.approx(frame.turn)
    assert found.origin == pytest.approx(frame.origin)
    assert found.side == pytest.approx(80)
    assert found.scaled(1.6).center == pytest.approx(found.center)
    assert found.in_larger(4).side == pytest.approx(320)
    assert geometry.mean(frame, found.scaled(2), 0.25).side == pytest.approx(100)


def test_a_warp_without_rotation_is_a_crop() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    cut = crops.warp(Image.fromarray(pixels), Frame(40 + 0j, 30 + 20j), 40)
    assert np.array_equal(np.asarray(cut), pixels[20:60, 30:70])


def test_a_warp_turns_the_part_upright() -> None:
    image = Image.radial_gradient("L").convert("RGB").resize((200, 200))
    ImageDraw.Draw(image).rectangle((20, 20, 90, 60), "red")
    turned = image.transpose(Image.Transpose.ROTATE_90)
    # Counterclockwise by 90 degrees: the crop's x axis points up in the turned image.
    back = crops.warp(turned, Frame(-200j, 200j), 200)
    assert np.abs(np.asarray(back, int) - np.asarray(image, int)).mean() < 1


def test_beyond_the_border_a_part_is_black() -> None:
    image = Image.new("RGB", (60, 40), "white")
    for part in (crops.square(image, -20, -10, 40, 40), crops.warp(image, Frame(40 + 0j, -20 - 10j), 40)):
        pixels = np.asarray(part)
        assert pixels[:8].max() == 0
        assert pixels[:, :18].max() == 0
        assert pixels[12:28, 22:38].min() == 255
    assert np.asarray(crops.square(image, 100, 100, 40, 8)).max() == 0
    assert np.asarray(crops.warp(image, Frame(20 + 0j, 300 + 300j), 8)).max() == 0


def test_a_reduced_part_averages_all_pixels() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    image = Image.fromarray(stripes)
    for part in (crops.square(image, 0, 0, 800, 100), crops.warp(image, Frame(800 + 0j, 0j), 100)):
        assert np.abs(np.asarray(part, int)[2:-2, 2:-2] - 127).max() < 12


def test_the_files_are_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (SEARCH, REFINE):
        assert Detector(file).file.size in (128, 256)
        shutil.copy(Path(detectors.__file__).parent / file.name, tmp_path)
    monkeypatch.setattr(detectors, "__file__", str(tmp_path / "detectors.py"))
    damaged = tmp_path / SEARCH.name
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(DetectorError, match=f"{SEARCH.name} does not have SHA-256 {SEARCH.sha256}"):
        Detector(SEARCH)
    damaged.unlink()
    with pytest.raises(DetectorError, match=r"cannot be read .*deploy the whole function again"):
        Detector(SEARCH)


def test_an_image_that_a_face_fills(finder: FaceFinder, faces: list[Image.Image]) -> None:
    for chip in faces:
        (face,) = finder.find(chip, OPTIONS)
        assert distance(face, 0, 0, 200) < 0.2
        assert face.score > 0.7


@pytest.mark.parametrize("angle", [30, 60, 90, 180, 270])
def test_turned_faces_are_cut_out_upright(finder: FaceFinder, faces: list[Image.Image], angle: int) -> None:
    for chip in faces:
        (upright,) = finder.find(scene((480, 480), (chip, 200, (140, 140))), OPTIONS)
        turned = scene((480, 480), (chip, 200, (140, 140))).rotate(angle, Image.Resampling.BICUBIC, fillcolor=GREEN)
        (face,) = finder.find(turned, OPTIONS)
        assert abs(np.angle(face.frame.turn * np.exp(1j * np.radians(angle)) / upright.frame.turn)) < np.radians(15)


def test_small_faces_in_a_group(finder: FaceFinder, faces: list[Image.Image]) -> None:
    places = [(column * 320 + 130, row * 320 + 120) for row in range(3) for column in range(4)]
    group = scene((1280, 960), *((chip, 90, place) for chip, place in zip(faces, places, strict=True)))
    found = finder.find(group, OPTIONS)
    near = [min(distance(face, *place, 90) for face in found) for place in places]
    assert sum(apart < 0.3 for apart in near) >= 11
    assert len(found) <= 12
    assert [face.side for face in found] == sorted((face.side for face in found), reverse=True)


def test_a_face_at_the_border_is_one_face(finder: FaceFinder, faces: list[Image.Image]) -> None:
    (face,) = finder.find(scene((800, 600), (faces[0], 200, (-20, 380))), OPTIONS)
    assert distance(face, -20, 380, 200) < 0.25


def test_a_large_face_does_not_hide_a_small_one_below_the_limit(finder: FaceFinder, faces: list[Image.Image]) -> None:
    both = scene((1280, 960), (faces[0], 220, (100, 100)), (faces[1], 90, (900, 700)))
    assert len(finder.find(both, OPTIONS)) == 2
    assert len(finder.find(both, OPTIONS._replace(least_side=0.1))) == 1
    assert finder.find(both, OPTIONS._replace(least_score=1.0)) == []


def test_a_crowd_gets_a_bounded_number_of_looks(
    finder: FaceFinder, faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = Refiner.look

    def counted(self: Refiner, image: Image.Image, frame: Frame) -> Face | None:
        looks.append(frame)
        return look(self, image, frame)

    monkeypatch.setattr(Refiner, "look", counted)
    places = [(x, y) for x in range(0, 960, 40) for y in range(0, 960, 40)]
    crowd = scene((960, 960), *((faces[number % 12], 40, place) for number, place in enumerate(places)))
    assert len(finder.find(crowd, OPTIONS)) > 60
    # Two looks at each candidate of the whole image and of the tiles, and at a few of each turn.
    assert len(looks) <= 2 * (100 + 100 + 3 * 5)


def test_no_face_in_images_without_people(finder: FaceFinder) -> None:
    for image in (
        Image.new("RGB", (640, 480), "gray"),
        Image.linear_gradient("L").convert("RGB").resize((900, 500)),
        Image.effect_noise((500, 700), 80).convert("RGB"),
    ):
        assert finder.find(image, OPTIONS) == []


def test_threads_find_the_same(finder: FaceFinder, faces: list[Image.Image]) -> None:
    alone = [finder.find(chip, OPTIONS)[0].frame for chip in faces]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda chip: finder.find(chip, OPTIONS)[0].frame, faces))
    assert together == alone


@pytest.mark.parametrize(
    ("side", "reduction"),
    [(300, 4), (200, 4), (199, 2), (100, 2), (99, 1), (20, 1)],
)
def test_faces_are_decoded_as_large_as_they_need(side: int, reduction: int) -> None:
    image = inspect(saved(Image.new("RGB", (4000, 3000)), "JPEG"))
    searched = photos.search_reduction(image)
    assert searched == 4
    face = Face(1.0, 0j, side, np.zeros((6, 2)), Frame(complex(side), 0j))
    assert photos.crop_reduction(image, searched, [face], Limits()) == reduction
    assert photos.crop_reduction(image, searched, [], Limits()) == 4
    # The second decode stays within the limit of pixels.
    assert photos.crop_reduction(image, searched, [face], Limits(max_full_decode_pixels=3_000_000)) >= 2


def test_positions_are_shares_of_the_upright_image() -> None:
    face = Face(0.91234, 50 + 100j, 40, np.full((6, 2), 50.0), Frame(60 + 0j, 20 + 70j))
    found = photos.face_json(photos.Photo(UprightImage(Image.new("RGB", (200, 400)), 800, 1600), [face]), face)
    assert found["box"] == {"left": 0.15, "top": 0.2, "width": 0.2, "height": 0.1}
    assert found["landmarks"]["right_eye"] == [0.25, 0.125]
    assert found["score"] == 0.9123
    crop = photos.face_image(
        photos.Photo(UprightImage(Image.new("RGB", (200, 400)), 800, 1600), [face]), face, 160, "JPEG"
    )
    assert crop.pixels.shape == (160, 160, 3)
    assert (crop.width, crop.height) == (240, 240)

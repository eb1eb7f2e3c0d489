"""`age-gender predict --annotate`: the copies with the faces drawn in, decoded and looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from age_gender.annotate import LEAST_SIDE, Area, drawn, labels
from age_gender.detection import Detection
from tests import group_photos
from tests.command import age_gender
from tests.scripted_server import DETECTION, FACE, PREDICTION, Scripted, scripted

LIGHT, DARK = (255, 225, 0), (0, 0, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("photos")
    group_photos.write(found)
    (found / "group.png").write_bytes(group_photos.saved(group_photos.scene(group_photos.GROUP), "PNG"))
    return found


@pytest.fixture(scope="module")
def copies(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copies of the folder's images."""
    made = tmp_path_factory.mktemp("made") / "deep" / "copies"
    done = age_gender("predict", folder, "--annotate", made)
    assert (done.returncode, done.stderr) == (0, f"age-gender: annotated copies in {made}: 5\n")
    return made


def pixels(image: Image.Image | Path) -> npt.NDArray[np.int16]:
    """(height, width, 3) levels."""
    opened = Image.open(image) if isinstance(image, Path) else image
    return np.asarray(opened.convert("RGB"), np.int16)


def detection(*boxes: tuple[float, float, float, float]) -> Detection:
    sides = ("left", "top", "width", "height")
    return Detection.parse(
        {**DETECTION, "faces": [{**FACE, "box": dict(zip(sides, box, strict=True))} for box in boxes]}
    )


def is_drawn(image: npt.NDArray[np.int16], color: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """(height, width) where the image has a color."""
    return np.asarray((image == color).all(axis=2))


def test_each_image_has_an_upright_copy_of_its_format_below_the_folder(copies: Path) -> None:
    made = {str(path.relative_to(copies)): Image.open(path) for path in copies.rglob("*") if path.is_file()}
    assert {name: (image.format, image.size) for name, image in made.items()} == {
        "group.jpg": ("JPEG", (1280, 960)),
        "group.png": ("PNG", (1280, 960)),
        "more/one.webp": ("WEBP", (800, 600)),
        "sky.png": ("PNG", (640, 480)),
        "turned.jpg": ("JPEG", (800, 600)),
    }
    assert not made["turned.jpg"].getexif()


def test_boxes_and_answers_are_drawn_and_the_rest_stays(folder: Path, copies: Path) -> None:
    before, after = pixels(folder / "group.png"), pixels(copies / "group.png")
    changed = (before != after).any(axis=2)
    # Lines and labels only.
    assert 0.005 < changed.mean() < 0.05
    for left, top, side in group_photos.GROUP:
        around = np.s_[top - side // 4 : top + side + side // 2, left - side // 4 : left + side + side // 2]
        assert is_drawn(after[around], LIGHT).any()
        center = np.s_[top + side // 3 : top + side * 2 // 3, left + side // 3 : left + side * 2 // 3]
        assert not changed[center].any()


def test_a_turned_photo_is_drawn_as_it_is_shown(folder: Path, copies: Path) -> None:
    turned, one = pixels(copies / "turned.jpg"), pixels(copies / "more" / "one.webp")
    # One is stored turned and lossy, the other upright and lossless.
    assert np.abs(turned - one).mean() < 5
    assert np.abs(turned - pixels(group_photos.scene(group_photos.ONE, (800, 600)))).mean() > 0.5


def test_an_image_without_a_face_says_so(folder: Path, copies: Path) -> None:
    changed = (pixels(folder / "sky.png") != pixels(copies / "sky.png")).any(axis=2)
    assert 0.001 < changed.mean() < 0.01


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128), LIGHT])
def test_the_border_of_a_box_is_seen_on_any_ground(ground: tuple[int, int, int]) -> None:
    box = (0.25, 0.25, 0.5, 0.5)
    image = pixels(drawn(Image.new("RGB", (400, 400), ground), detection(box)))
    # Two lines of a pixel, from the edge inwards: one at least differs much from what is there.
    for edge in (image[100, 101:299], image[299, 101:299], image[101:299, 100], image[101:299, 299]):
        assert (edge == DARK).all()
    for edge in (image[101, 101:299], image[298, 101:299], image[101:299, 101], image[101:299, 298]):
        assert (edge == LIGHT).all()


@pytest.mark.parametrize("size", [(16, 16), (30, 160), (128, 128), (200, 200), (1280, 960), (6000, 4000)])
def test_the_answer_can_be_read_at_any_size(size: tuple[int, int]) -> None:
    # A box without an extent is a dot.
    image = pixels(drawn(Image.new("RGB", size, group_photos.GROUND), detection((0.5, 0.5, 0, 0))))
    height, width = image.shape[:2]
    factor = width // size[0]
    assert (width, height) == (factor * size[0], factor * size[1])
    assert min(width, height) >= LEAST_SIDE
    assert (factor == 1) == (min(size) >= LEAST_SIDE)
    dark = is_drawn(image, DARK)
    rows, columns = (np.nonzero(sums > sums.max() / 4)[0] for sums in (dark.sum(axis=1), dark.sum(axis=0)))
    label = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    # Two lines, each as high as twelve pixels or a hundredth of what is seen at once.
    assert label.shape[0] >= 2 * max(12, max(size) // 100)
    assert label.shape[1] >= 5 * max(12, max(size) // 100)
    # Letters, no part of which is cut off.
    assert is_drawn(label, LIGHT).any()
    assert 0.1 < (~is_drawn(label, DARK)).mean() < 0.6
    for border in (label[0], label[-1], label[:, 0], label[:, -1]):
        assert (border == DARK).all()


def test_labels_avoid_each_other_and_are_short_where_many_faces_are() -> None:
    canvas = ImageDraw.Draw(Image.new("RGB", (600, 600)))
    boxes = [Area(x, y, x + 70, y + 70) for y in range(0, 600, 75) for x in range(0, 600, 75)]
    texts = [(f"{number}: 30 (25 - 35)\nmale 90.0 %", str(number)) for number in range(1, len(boxes) + 1)]
    placed = labels(canvas, ImageFont.load_default(12), texts, boxes)
    areas = [area for _, area in placed]
    assert [area.overlap(areas[:number]) for number, area in enumerate(areas)] == [0] * 64
    shown = [text in choices[1:] for (text, _), choices in zip(placed, texts, strict=True)]
    assert 0 < sum(shown) < 64
    for area, box in zip(areas, boxes, strict=True):
        assert 0 <= area.left < area.right <= 600
        assert 0 <= area.top < area.bottom <= 600
        # Beside its own face.
        assert area.left <= box.right
        assert area.right >= box.left
        assert area.top <= box.bottom
        assert area.bottom >= box.top


@pytest.mark.parametrize(
    "box", [(-0.5, -0.5, 2, 2), (5, 5, 1, 1), (-3, 0.2, 0.5, 0.5), (0, 0, 0, 0), (1e300, -1e300, 1e300, 1e300)]
)
def test_a_box_may_lie_anywhere(box: tuple[float, float, float, float]) -> None:
    image = drawn(Image.new("RGB", (300, 200), group_photos.GROUND), detection(box))
    assert image.size == (300, 200)
    assert is_drawn(pixels(image), LIGHT).any()


def test_nothing_that_exists_is_overwritten(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "turned.jpg"
    kept.write_text("theirs")
    for images in (folder, folder / "turned.jpg"):
        refused = age_gender("predict", images, "--annotate", tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"{kept} exists; move it away, or choose another folder for --annotate" in refused.stderr
    # The images lie in the folder of the copies.
    assert age_gender("predict", folder, "--annotate", folder).returncode == 2
    assert kept.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["turned.jpg"]
    no_folder = age_gender("predict", folder, "--annotate", kept)
    assert no_folder.returncode == 2
    assert f"--annotate takes a folder, and {kept} is none" in no_folder.stderr


def test_copies_and_aligned_faces_exclude_each_other(folder: Path, tmp_path: Path) -> None:
    refused = age_gender("predict", folder, "--aligned", "--annotate", tmp_path)
    assert refused.returncode == 2
    assert "--aligned finds none; leave out one of them" in refused.stderr


def test_a_bad_image_has_no_copy_and_standard_input_has_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    made = tmp_path / "copies"
    given = (folder / "turned.jpg").read_bytes()
    done = age_gender("predict", tmp_path / "bad.jpg", "-", "--json", "--annotate", made, given=given)
    assert done.returncode == 1
    (copy,) = [path for path in made.rglob("*") if path.is_file()]
    assert (copy.name, Image.open(copy).size) == ("standard-input.jpg", (800, 600))
    assert f"annotated copies in {made}: 1\n" in done.stderr


def test_a_format_that_copies_do_not_have_becomes_a_jpeg(tmp_path: Path) -> None:
    one = group_photos.scene(group_photos.ONE, (800, 600))
    (tmp_path / "one.avif").write_bytes(group_photos.saved(one, "AVIF"))
    # The bytes tell the format, not the name.
    (tmp_path / "other.png").write_bytes(group_photos.saved(one))
    named_twice = tmp_path / "." / ".." / tmp_path.name / "one.avif"
    done = age_gender(
        "predict", tmp_path, str(named_twice), f"{tmp_path}/./one.avif", "--annotate", tmp_path / "copies"
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: Image.open(path).format for path in (tmp_path / "copies").iterdir()} == {
        "one.avif.jpg": "JPEG",
        "other.png.jpg": "JPEG",
    }


def test_an_image_without_a_copy_is_named(folder: Path, tmp_path: Path) -> None:
    found: Scripted = (200, {"predictions": [{**DETECTION, "faces": [{**FACE, **PREDICTION}]}]}, {})
    asked = ("predict", folder / "turned.jpg", "--annotate", tmp_path / "copies")
    with scripted(found) as running:
        done = age_gender(*asked, "--url", running.url, MAX_PIXELS="1000")
    assert done.returncode == 1
    assert "turned.jpg: no annotated copy: the image has 600x800 pixels; the limit is 1000" in done.stderr
    assert f"annotated copies in {tmp_path / 'copies'}: 0\n" in done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_copies_are_drawn_with_the_answers_of_a_server(folder: Path, tmp_path: Path) -> None:
    found: Scripted = (200, {"predictions": [DETECTION]}, {})
    with scripted(found) as running:
        done = age_gender("predict", folder / "sky.png", "--annotate", tmp_path / "copies", "--url", running.url)
    assert done.returncode == 0, done.stderr
    image = pixels(Image.open(io.BytesIO((tmp_path / "copies" / "sky.png").read_bytes())))
    # The box that the scripted server names.
    assert (image[240, 160:480] == DARK).all()
    assert (image[359, 160:480] == DARK).all()

"""The data report says what was accepted, what was rejected, and what the faces lack."""

from __future__ import annotations

import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import partial
from training.config import PrepareConfig
from training.data import coverage, exploration, shards
from training.data.exploration import _crossing_plot
from training.faces import draw, write_faces
from training.labels import CHOICES
from training.prepare import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared drawn faces with near-duplicates and rejected files, one of them with markup in its name."""
    folder = tmp_path_factory.mktemp("exploration")
    faces = folder / "faces"
    write_faces(faces, 120)
    for number, path in enumerate(sorted(faces.iterdir())[:3]):
        for quality in (60, 80)[: 1 + number % 2]:
            stream = BytesIO()
            Image.open(path).save(stream, "JPEG", quality=quality)
            (faces / f"{path.name[:-8]}{quality:08}.jpg").write_bytes(stream.getvalue())
    (faces / "<b>me.jpg").write_bytes(draw(50, 0, 0, seed=1))
    (faces / "notes.txt").write_bytes(b"hello")
    (faces / "50_0_0_20170116174525002.jpg").write_bytes(b"not an image")
    prepare(faces, folder / "data", PrepareConfig(size=32, shard_faces=64))
    return folder / "data"


@pytest.fixture(scope="module")
def page(data: Path) -> str:
    return (data / "exploration" / "index.html").read_text(encoding="utf-8")


def rows(page: str, section: str) -> list[list[str]]:
    """Return the cells of a table, row by row."""
    part = page.partition(f'<h2 id="{section}">')[2].partition("<h2")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in part.split("<tr>")[2:]]


def test_the_page_counts_the_images_of_each_split(data: Path, page: str) -> None:
    faces = shards.fingerprint(data).faces
    found = {row[0]: [int(cell.replace(",", "")) for cell in row[1:]] for row in rows(page, "splits")}
    assert found["Images"] == [*faces.values(), sum(faces.values())]
    for attribute in ("Age band", "Gender", "Ethnicity"):
        classes = [images for title, images in found.items() if title.startswith(f"{attribute}: ")]
        assert np.sum(classes, axis=0).tolist() == found["Images"]


def test_the_page_counts_rejected_files_by_reason(page: str) -> None:
    found = {row[0]: row[1:] for row in rows(page, "rejected")}
    assert {reason: cells[0] for reason, cells in found.items()} == {"name does not parse": "2", "undecodable": "1"}
    assert found["undecodable"][1].startswith("50_0_0_20170116174525002.jpg: undecodable: ")
    assert "<b>" not in page


def test_the_page_counts_groups_of_near_duplicates(page: str) -> None:
    assert rows(page, "near-duplicates") == [["2", "2", "4"], ["3", "1", "3"]]


def test_the_page_shows_the_coverage_warnings(data: Path, page: str) -> None:
    gaps = coverage.find(data)
    assert len(gaps) > 3
    assert all(gap in page for gap in gaps)


def test_every_plot_has_an_own_alternative_text_and_adapts_to_dark_mode(data: Path, page: str) -> None:
    shown = dict(re.findall(r'<img class="plot" src="(.+?)" alt="(.+?)">', page))
    assert shown.keys() == {path.name for path in (data / "exploration").glob("*.png")}
    assert len(set(shown.values())) == len(shown)
    assert "prefers-color-scheme: dark" in page


def test_ranges_and_missing_labels_have_rows_of_their_own_and_no_plots_of_a_head_without_labels(
    data: Path, tmp_path: Path
) -> None:
    folder = partial.copy(data, tmp_path / "data", partial.photos)
    shutil.rmtree(folder / "exploration")
    exploration.write(folder, "")
    found = {
        row[0]: [int(cell.replace(",", "")) for cell in row[1:]]
        for row in rows((folder / "exploration" / "index.html").read_text(encoding="utf-8"), "splits")
    }
    for attribute in ("Age band", "Gender", "Ethnicity"):
        classes = [images for title, images in found.items() if title.startswith(f"{attribute}: ")]
        assert np.sum(classes, axis=0).tolist() == found["Images"]
    assert found["Ethnicity: no label"] == found["Images"]
    assert 0 < found["Gender: no label"][-1] < found["Images"][-1]
    assert found["Age band: range 70-116"][-1] > 0
    assert "Age band: no label" not in found
    plots = {path.stem for path in (folder / "exploration").glob("*.png")}
    assert plots == {"age", "gender", "age-by-gender"}


def test_numbers_contrast_with_their_cells() -> None:
    counts = np.array([[10, 466, 30, 5, 1], [233, 240, 0, 2, 3]])
    (axes,) = _crossing_plot(counts, *CHOICES).axes
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert (colors["466"], colors["240"], colors["233"], colors["0"]) == ("white", "white", "black", "black")

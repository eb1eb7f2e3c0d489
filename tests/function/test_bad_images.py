"""Crafted images: each is refused quickly with the right error, and the server stays up."""

from __future__ import annotations

import re
import time

import pytest

from serving import images
from tests.function.bad_images import STATUS, BadImage, bad_images
from tests.fuzz_images import fuzz
from tests.server import Server

# Far more than any needs, far less than the work that some request.
SECONDS = 2.0

each = pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in bad_images()])


def test_there_are_at_least_sixty_with_different_names() -> None:
    assert len({bad.name for bad in bad_images()}) == len(bad_images()) >= 60


@each
def test_a_bad_image_raises_the_right_error_quickly(bad: BadImage) -> None:
    start = time.process_time()
    with pytest.raises(images.ImageError) as refusal:
        images.decode(bad.data, 96)
    assert type(refusal.value) is bad.error
    assert len(str(refusal.value)) > 20
    assert time.process_time() - start < SECONDS


@each
def test_a_bad_image_gets_a_problem_and_the_server_stays_healthy(server: Server, bad: BadImage, face: bytes) -> None:
    response = server.post(bad.data)
    assert response.status_code == response.json()["status"] == STATUS[bad.error]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    assert server.get("/health").is_success


@pytest.mark.slow
def test_ten_seconds_of_fuzzing_find_nothing() -> None:
    pytest.importorskip("atheris", reason="atheris cannot be imported here: the decoder is not fuzzed")
    done = fuzz(seconds=10)
    assert done.returncode == 0, done.stdout
    runs = re.search(r"stat::number_of_executed_units: (\d+)", done.stdout)
    assert runs is not None, done.stdout
    assert int(runs[1]) > 500


def test_a_face_gets_the_same_prediction_after_all_of_them(server: Server, face: bytes) -> None:
    before = server.post(face).json()
    for bad in bad_images():
        server.post(bad.data)
    assert server.post(face).json() == before

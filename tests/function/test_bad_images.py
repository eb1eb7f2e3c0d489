"""Crafted images: each is refused for its right reason, soon, and the server lives on."""

from __future__ import annotations

import re
import time

import pytest

from serving import images
from tests.function.bad_images import STATUS, BadImage, bad_images
from tests.fuzz_images import fuzz
from tests.server import Server

# Far more than any takes, far less than the work that some ask for.
SECONDS = 2.0

each = pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in bad_images()])


def test_there_are_at_least_sixty_under_different_names() -> None:
    assert len({bad.name for bad in bad_images()}) == len(bad_images()) >= 60


@each
def test_a_bad_image_is_refused_for_its_right_reason(bad: BadImage) -> None:
    start = time.process_time()
    with pytest.raises(images.ImageError) as refusal:
        images.decode(bad.data, 96)
    assert type(refusal.value) is bad.error
    assert len(str(refusal.value)) > 20
    assert time.process_time() - start < SECONDS


@each
def test_a_bad_image_gets_a_problem_and_leaves_the_server_well(server: Server, bad: BadImage, face: bytes) -> None:
    response = server.post(bad.data)
    assert response.status_code == response.json()["status"] == STATUS[bad.error]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    assert server.get("/health").is_success


@pytest.mark.slow
def test_a_short_search_for_bytes_that_break_the_decoder_finds_none() -> None:
    pytest.importorskip("atheris", reason="atheris cannot be imported here: no search for bytes that break the decoder")
    done = fuzz(seconds=10)
    assert done.returncode == 0, done.stdout
    runs = re.search(r"stat::number_of_executed_units: (\d+)", done.stdout)
    assert runs is not None, done.stdout
    assert int(runs[1]) > 500


def test_after_all_of_them_a_face_is_answered_as_before(server: Server, face: bytes) -> None:
    before = server.post(face).json()
    for bad in bad_images():
        server.post(bad.data)
    assert server.post(face).json() == before

"""`POST /summarize`: only aggregates leave, of this release, and none of small groups."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving import release
from serving.demographics import disclosure, noise
from serving.demographics.fit import Fit
from serving.demographics.summary import Figure, Summary
from tests.conftest import FUNCTION
from tests.function.bad_images import saved
from tests.function.test_openapi import validate
from tests.photos import photo
from tests.server import Server, serve

BUNDLED = release.load(str(FUNCTION / "model"))
JSON = "application/json"
PATH = "/summarize"
Face = dict[str, Any]


def face(gender: str, years: int = 30, **members: Any) -> Face:
    shares = [9_500, 500] if gender == "male" else [500, 9_500]
    probabilities = {"age": [years - 2, 1_000, 2_000, 4_000, 2_000, 1_000], "gender": shares}
    return {
        "age": {"years": years, "low": years - 4, "high": years + 4},
        "gender": {"label": gender, "probability": 0.95},
        "probabilities": probabilities,
        **members,
    }


def earlier(*faces: Face, **model: str) -> bytes:
    return json.dumps({"predictions": faces, "model": {**BUNDLED.identity(), **model}}).encode()


def summarized(server: Server, body: bytes, query: str = "") -> dict[str, Any]:
    response = server.post(body, JSON, PATH + query)
    assert response.status_code == 200, response.text
    validate(response.json(), "Demographics", server.get("/openapi.json").json())
    found: dict[str, Any] = response.json()
    return found


def refusal(server: Server, body: bytes, query: str = "") -> tuple[int, str]:
    response = server.post(body, JSON, PATH + query)
    return response.status_code, response.json().get("detail", "")


@pytest.fixture(scope="module")
def crowd() -> list[Face]:
    return [face("male", 20 + number) for number in range(30)] + [face("female", 25 + number) for number in range(20)]


def test_images_and_their_earlier_answers_have_one_summary(server: Server, utkface: Path) -> None:
    files = [("image", path.read_bytes()) for path in sorted(utkface.glob("*.jpg"))[1000:1030]]
    images = httpx.post(server.url + PATH, files=files, timeout=60)
    answers = httpx.post(f"{server.url}/predict?probabilities=true", files=files, timeout=60)
    assert images.status_code == 200, images.text
    assert images.json() == summarized(server, answers.content)
    assert images.json()["summary"]["faces"] == 30
    assert not images.json()["summary"].keys() & {"predictions", "images"}


def test_faces_of_whole_images_are_counted() -> None:
    image = saved(photo((40, 100, 160), (240, 100, 160), (440, 100, 160)), "PNG")
    with serve(FUNCTION, MIN_GROUP="1") as small:
        response = small.post(image, "image/png", PATH + "?detect=true")
        found = small.post(image, "image/png", "/detect").json()["predictions"][0]["faces"]
    warned = sum("warnings" in each for each in found)
    assert response.status_code == 200, response.text
    assert len(found) == 3
    assert (response.json()["summary"]["faces"], response.json()["not_counted"]["warned"]) == (3 - warned, warned)


def test_shares_have_intervals_and_what_was_counted(server: Server, crowd: list[Face]) -> None:
    found = summarized(server, earlier(*crowd), "?bands=0-24,25-39,40%2B")["summary"]
    assert found["faces"] == 50
    assert set(found["age"]["bands"]) == {"0-24", "25-39", "40+"}
    women = found["gender"]["female"]
    assert women["counted"] == 0.4
    assert women["low"] < women["value"] < women["high"]
    assert sum(figure["value"] for figure in found["gender"].values()) == pytest.approx(1, abs=1e-3)


def test_what_cannot_be_counted_is_said(server: Server, crowd: list[Face]) -> None:
    others: list[Face] = [
        {"error": {"type": "about:blank", "title": "", "status": 422, "detail": "damaged"}},
        {"width": 10, "height": 10, "faces": []},
        {"width": 10, "height": 10, "faces": [crowd[0], face("male", warnings=[{"code": "not_a_face", "detail": ""}])]},
    ]
    found = summarized(server, earlier(*crowd, *others))
    assert found["not_counted"] == {"failed": 1, "without_face": 1, "warned": 1}
    assert found["summary"]["faces"] == 51


def test_a_crowd_that_is_too_small_is_not_summarized(server: Server, crowd: list[Face]) -> None:
    warned = face("male", warnings=[{"code": "not_a_face", "detail": ""}])
    status, detail = refusal(server, earlier(*crowd[:9], warned))
    assert status == 422
    assert detail.startswith("9 faces were counted, and groups of fewer than 10 people are not shown (not counted: 1 w")
    with serve(FUNCTION, MIN_GROUP="5") as small:
        assert summarized(small, earlier(*crowd[:9]))["min_group"] == 5


def test_small_groups_are_withheld(server: Server) -> None:
    found = summarized(server, earlier(*[face("male")] * 40, *[face("female")] * 4))["summary"]
    # The other share would tell it.
    assert found["gender"] == {"male": None, "female": None}
    assert all(share is None for row in found["age"]["pyramid"].values() for share in row.values())


@pytest.mark.parametrize(
    ("body", "query", "status", "said"),
    [
        (earlier(*[face("male")] * 12, sha256="0" * 64, version="20250101-abc"), "", 409, "of release '20250101-abc'"),
        (earlier(*[{"age": {"years": 3, "low": 1, "high": 4}}] * 12), "", 400, "has no probabilities"),
        (earlier(*[face("male", probabilities={"age": [1, 2]})] * 12), "", 200, ""),
        (earlier(*[face("male", probabilities={"gender": [1, 2]})] * 12), "", 400, "has no age"),
        (earlier(*[face("male", probabilities={"age": [1, 2], "gender": [1]})] * 12), "", 400, "garbles"),
        (
            json.dumps({"predictions": [face("male", release="20250101-abc")] * 12}).encode(),
            "",
            400,
            "is of release 2025",
        ),
        (json.dumps({"predictions": "12"}).encode(), "", 400, '"predictions" is no list'),
        (json.dumps({"predictions": [1]}).encode(), "", 400, '"predictions" is no list'),
        (json.dumps({"instances": []}).encode(), "", 400, "contains no image"),
        (b"{", "", 400, "the body is not JSON"),
        (earlier(*[face("male")] * 12), "?bands=0-17", 400, "no band has ages above 17"),
    ],
)
def test_unusable_requests_are_refused_with_a_reason(
    server: Server, body: bytes, query: str, status: int, said: str
) -> None:
    found, detail = refusal(server, body, query)
    assert (found, said in detail) == (status, True), detail


def test_with_epsilon_only_noisy_shares_leave(server: Server, crowd: list[Face]) -> None:
    faces = crowd * 8
    found = [summarized(server, earlier(*faces), "?epsilon=1") for _ in range(4)]
    assert all(set(each) == {"summary", "epsilon", "min_group", "model"} for each in found)
    assert all(set(each["summary"]) == {"faces", "age", "gender"} for each in found)
    # Each response has its own noise, and all are near the truth.
    assert len({each["summary"]["faces"] for each in found}) > 1
    for each in found:
        assert abs(each["summary"]["faces"] - len(faces)) < 60
        assert abs(each["summary"]["gender"]["female"]["counted"] - 0.4) < 0.1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?epsilon=0", "use a number from 0.1 to 10"),
        ("?epsilon=nan", "use a number from 0.1 to 10"),
        ("?epsilon=x", "use a number"),
        ("?epsilon=1&bands=0-17,18%2B", "leave bands out"),
    ],
)
def test_an_epsilon_that_is_none_is_refused(server: Server, crowd: list[Face], query: str, said: str) -> None:
    status, detail = refusal(server, earlier(*crowd), query)
    assert (status, said in detail) == (400, True), detail


def test_the_noise_is_that_of_the_geometric_mechanism() -> None:
    scale, start = 3.0, 1_000_000
    drawn = noise.added(np.full(200_000, start), scale) - start
    alpha = np.exp(-1 / scale)
    for value in range(-5, 6):
        expected = (1 - alpha) / (1 + alpha) * alpha ** abs(value)
        assert np.mean(drawn == value) == pytest.approx(expected, abs=0.004)
    # One face more or less changes no probability by more than this factor.
    assert np.mean(drawn == 0) / np.mean(drawn == 1) == pytest.approx(np.exp(1 / scale), rel=0.05)
    assert noise.added(np.zeros(1000, np.int64), scale).min() == 0


def test_a_head_that_is_off_stays_off(server: Server) -> None:
    each = face("male")
    each["probabilities"]["ethnicity"] = [2_000] * 5
    assert "ethnicity" in summarized(server, earlier(*[each] * 12))["summary"]
    with serve(FUNCTION, HEADS="age,gender") as off:
        assert "ethnicity" not in summarized(off, earlier(*[each] * 12))["summary"]
    with serve(FUNCTION, HEADS="gender") as ageless:
        assert refusal(ageless, earlier(*[each] * 12)) == (
            501,
            "HEADS is without age, which every summary needs; add it",
        )


def test_a_release_without_statistics_says_so(tmp_path: Path) -> None:
    shutil.copytree(FUNCTION / "model", tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "manifest.json").read_text())
    del manifest["demographics"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest))
    with serve(FUNCTION, MODEL_URI=str(tmp_path / "old")) as old:
        status, detail = refusal(old, earlier(*[face("male")] * 12))
    assert status == 501
    assert "has no statistics to correct counts with" in detail


def summary(**shares: float) -> Summary:
    figures = {name: Figure(share, share, share, share) for name, share in shares.items()}
    age = Figure(30, 30, 30, 30)
    half = {name: Figure(*(share / 2 for share in figure)) for name, figure in figures.items()}
    return Summary(100, {}, figures, {"male": half, "female": half}, age, age, Fit(0.0, 1.0))


@pytest.mark.parametrize(
    ("shares", "withheld"),
    [
        ({"young": 0.5, "old": 0.5}, set()),
        # The third alone would be what the others leave.
        ({"young": 0.5, "middle": 0.45, "old": 0.05}, {"middle", "old"}),
        ({"young": 0.8, "middle": 0.09, "old": 0.09, "oldest": 0.02}, {"middle", "old", "oldest"}),
    ],
)
def test_a_withheld_share_cannot_be_calculated_from_the_others(shares: dict[str, float], withheld: set[str]) -> None:
    shown = disclosure.published(summary(**shares), 10)["age"]["bands"]
    assert {name for name, figure in shown.items() if figure is None} == withheld


def test_a_band_with_few_of_one_label_is_withheld_for_all_labels() -> None:
    shown = disclosure.published(summary(young=0.85, old=0.15), 10)["age"]
    assert None not in shown["bands"].values()
    assert all(figure is None for row in shown["pyramid"].values() for figure in row.values())

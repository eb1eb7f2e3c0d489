"""Whole images over HTTP: where faces are, which requests find them, the limits, and what stays as it was."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from serving import images, input_check, release, storage
from serving.detection import photos
from serving.formats import FORMATS
from serving.prediction import LANDMARKS
from serving.predictor import Predictor
from tests.conftest import FUNCTION
from tests.function.bad_images import saved
from tests.function.test_images import cornered
from tests.function.test_logs import lines
from tests.photos import Place, drawn_face, photo
from tests.server import Server, refusal, serve
from training.faces import draw

BUNDLED = release.load(str(FUNCTION / "model"))
V1, V2 = f"/v1/models/{BUNDLED.name}:predict", f"/v2/models/{BUNDLED.name}/infer"
CORNERS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
HEADS = "age,gender,ethnicity"
# Two faces in 640x480 pixels, the larger one on the right.
LEFT, RIGHT = (60, 100, 160), (350, 120, 220)
Detection = dict[str, Any]


@pytest.fixture(scope="module")
def two() -> bytes:
    return saved(photo(LEFT, RIGHT), "PNG")


@pytest.fixture(scope="module")
def whole() -> Iterator[Server]:
    """The function that finds faces unless a request says otherwise."""
    with serve(FUNCTION, HEADS=HEADS, DETECT="true", AIP_PREDICT_ROUTE="/vertex:predict", LOG_LEVEL="INFO") as running:
        yield running


def instances(*encoded: bytes, **parameters: object) -> bytes:
    body: dict[str, Any] = {"instances": [{"b64": base64.b64encode(image).decode()} for image in encoded]}
    return json.dumps(body | ({"parameters": parameters} if parameters else {})).encode()


def detected(response: httpx.Response) -> list[Detection]:
    assert response.status_code == 200, response.text
    found: list[Detection] = response.json()["predictions"]
    return found


def one(response: httpx.Response) -> Detection:
    (found,) = detected(response)
    return found


def require_at(face: Detection, place: Place, size: tuple[int, int] = (640, 480)) -> None:
    """A drawn face fills most of its place: the box lies in it, and so do eyes, nose and mouth."""
    left, top, side = place
    box, (width, height) = face["box"], size
    center = (box["left"] + box["width"] / 2) * width, (box["top"] + box["height"] / 2) * height
    assert center == pytest.approx((left + side / 2, top + side * 0.55), abs=side * 0.15)
    assert 0.4 * side < box["width"] * width < 1.1 * side
    assert box["height"] * height == pytest.approx(box["width"] * width, rel=0.01)
    points = {name: (x * width, y * height) for name, (x, y) in face["landmarks"].items()}
    assert list(points) == list(LANDMARKS)
    assert points["right_eye"][0] < points["nose"][0] < points["left_eye"][0]
    assert points["right_eye"][1] < points["nose"][1] < points["mouth"][1]


def test_faces_come_largest_first_with_box_landmarks_score_and_prediction(server: Server, two: bytes) -> None:
    found = one(server.post(two, path="/detect"))
    assert list(found) == ["width", "height", "faces"]
    assert (found["width"], found["height"]) == (640, 480)
    for face, place in zip(found["faces"], (RIGHT, LEFT), strict=True):
        require_at(face, place)
        assert list(face)[:5] == ["box", "landmarks", "score", "age", "gender"]
        assert 0.75 <= face["score"] <= 1
        assert face["age"]["low"] <= face["age"]["years"] <= face["age"]["high"]


def test_every_way_to_ask_gives_the_same_answer(server: Server, two: bytes) -> None:
    wanted = server.post(two, path="/detect").content
    form = {"image": ("a.png", two, "image/png")}
    assert server.post(two, path="/predict?detect=true").content == wanted
    assert server.post(two, path="/?detect=true").content == wanted
    assert server.post(instances(two), "application/json", "/detect").content == wanted
    for path in ("/predict", "/", V1):
        assert server.post(instances(two, detect=True), "application/json", path).content == wanted
    assert server.post(instances(two, detect=False), "application/json", "/predict?detect=true").content == wanted
    assert httpx.post(f"{server.url}/detect", files=form, timeout=30).content == wanted


def test_who_does_not_ask_gets_a_prediction_of_the_whole_image(server: Server, two: bytes) -> None:
    wanted = server.post(two).content
    assert "faces" not in json.loads(wanted)["predictions"][0]
    assert server.post(two, path="/predict?detect=false").content == wanted
    assert server.post(instances(two, detect=False), "application/json").content == wanted
    # Other clients' parameters are none of ours.
    assert server.post(instances(two, confidence=0.5), "application/json").content == wanted


def test_the_setting_makes_it_the_default_and_a_request_can_say_otherwise(
    server: Server, whole: Server, two: bytes
) -> None:
    faces, prediction = server.post(two, path="/detect").content, server.post(two).content
    for path in ("/predict", "/", "/vertex:predict", "/detect"):
        assert whole.post(two, path=path).content == faces
    for path in (V1, "/vertex:predict"):
        assert whole.post(instances(two), "application/json", path).content == faces
        assert whole.post(instances(two, detect=False), "application/json", path).content == prediction
    assert whole.post(two, path="/predict?detect=false").content == prediction


def test_infer_never_finds_faces(server: Server, whole: Server, two: bytes) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(two).decode()]}
    body = json.dumps({"inputs": [tensor]}).encode()
    assert whole.post(body, "application/json", V2).content == server.post(body, "application/json", V2).content


@pytest.mark.parametrize(
    ("path", "parameters", "said"),
    [
        ("/predict?detect=yes", {}, "detect='yes'; use true or false"),
        ("/predict?detect=", {}, "detect=''; use true or false"),
        ("/detect?detect=1", {}, "detect='1'; use true or false"),
        ("/predict", {"detect": "true"}, '"detect": true or false'),
        ("/predict", {"detect": 1}, '"detect": true or false'),
    ],
)
def test_an_unclear_wish_is_refused(
    server: Server, face: bytes, path: str, parameters: dict[str, object], said: str
) -> None:
    response = server.post(instances(face, **parameters), "application/json", path)
    assert response.status_code == 400
    assert said in response.json()["detail"]


def test_an_image_without_a_face_is_no_error(server: Server) -> None:
    assert one(server.post(saved(photo()), path="/detect")) == {"width": 640, "height": 480, "faces": []}


def test_one_bad_image_fails_alone_and_all_of_them_the_request(server: Server, two: bytes) -> None:
    response = server.post(instances(two, b"no image", saved(photo())), "application/json", "/detect")
    first, second, third = detected(response)
    assert (len(first["faces"]), second["error"]["status"], third["faces"]) == (2, 415, [])
    assert server.post(b"no image", path="/detect").status_code == 415
    assert server.post(two[:-5000], path="/detect").status_code == 422
    several = server.post(instances(b"no image", two[:-5000]), "application/json", "/detect")
    assert (several.status_code, [each["status"] for each in several.json()["errors"]]) == (422, [415, 422])


def test_settings_bound_number_size_and_score_of_the_faces(two: bytes) -> None:
    with serve(FUNCTION, MAX_FACES="1") as one_face:
        found = one(one_face.post(two, path="/detect"))
    require_at(found["faces"][0], RIGHT)
    assert len(found["faces"]) == 1
    (warning,) = found["warnings"]
    assert warning["code"] == "too_many_faces"
    assert warning["detail"].startswith("2 faces were found, and the 1 largest are listed")
    with serve(FUNCTION, MIN_FACE_SIZE="0.17") as large_faces:
        found = one(large_faces.post(two, path="/detect"))
    require_at(found["faces"][0], RIGHT)
    assert len(found["faces"]) == 1
    assert "warnings" not in found
    with serve(FUNCTION, MIN_FACE_SCORE="0.99") as sure_faces:
        assert one(sure_faces.post(two, path="/detect"))["faces"] == []


def test_small_images_of_one_request_share_its_faces() -> None:
    assert photos.most_faces(64, images=1, length=100) == 64
    assert photos.most_faces(64, images=32, length=100) == 2
    assert photos.most_faces(64, images=32, length=40_000) == 22
    assert photos.most_faces(64, images=32, length=2**20) == 64
    assert photos.most_faces(5, images=32, length=100) == 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_measures_and_boxes_are_those_of_the_upright_image(server: Server, orientation: int) -> None:
    turn = Image.Transpose
    upright = photo(RIGHT)
    stored = upright.transpose({3: turn.ROTATE_180, 6: turn.ROTATE_90, 8: turn.ROTATE_270}[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = one(server.post(saved(stored, "PNG", exif=exif), path="/detect"))
    assert found == one(server.post(saved(upright), path="/detect"))
    require_at(found["faces"][0], RIGHT)
    assert len(found["faces"]) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_image_is_upright_in_each_format(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = cornered(orientation).resize((64, 48) if orientation < 5 else (48, 64))
    image = images.inspect(saved(wide, kind, exif=exif)).upright(1)
    assert (image.width, image.height) == image.pixels.size == (64, 48)
    pixels = np.asarray(image.pixels)
    places = ((4, 4), (4, -4), (-4, -4), (-4, 4))
    assert [(pixels[place] > 127).astype(int).tolist() for place in places] == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1] * 3,
    ]


def test_transparency_is_white_and_every_format_shows_the_same_faces(server: Server, two: bytes) -> None:
    shown = Image.open(BytesIO(two))
    transparent = shown.convert("RGBA")
    # A quarter of the image without faces is hidden.
    transparent.paste((255, 0, 0, 0), (0, 360, 640, 480))
    white = shown.copy()
    white.paste("white", (0, 360, 640, 480))
    wanted = server.post(saved(white), path="/detect").json()
    assert server.post(saved(transparent), path="/detect").json() == wanted
    assert server.post(saved(transparent, "WEBP", lossless=True), path="/detect").json() == wanted
    gray = shown.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) << 8)
    assert server.post(saved(deep), path="/detect").json() == server.post(saved(gray), path="/detect").json()
    for kind in FORMATS:
        found = one(server.post(saved(shown, kind, quality=95), path="/detect"))
        for face, place in zip(found["faces"], (RIGHT, LEFT), strict=True):
            require_at(face, place)


def test_a_large_jpeg_is_searched_reduced_and_its_faces_are_cut_out_larger(server: Server) -> None:
    places = (600, 600, 1500), (2700, 1200, 500)
    found = one(server.post(saved(photo(*places, size=(4000, 3000)), "JPEG", quality=90), path="/detect"))
    assert (found["width"], found["height"]) == (4000, 3000)
    for face, place in zip(found["faces"], places, strict=True):
        require_at(face, place, (4000, 3000))


def test_warnings_of_a_face_speak_of_the_face(server: Server) -> None:
    found = one(server.post(saved(photo((300, 200, 30), size=(480, 360))), path="/detect"))
    (face,) = found["faces"]
    details = {warning["code"]: warning["detail"] for warning in face["warnings"]}
    assert details["low_resolution"].startswith("the face has ")
    check = input_check.of(BUNDLED)
    flat = images.read(saved(Image.new("RGB", (200, 200), "gray")), BUNDLED.size)
    unlike = images.read(saved(Image.linear_gradient("L")), BUNDLED.size)
    texts = [check.warnings(image, input_check.FOUND)[0].detail for image in (flat, unlike)]
    assert texts[0].startswith("the face's contrast is too low")
    assert texts[1].startswith("the face does not look like the faces that the model knows")
    assert not any("fills the image" in text or "crop" in text for text in texts)


def test_the_log_counts_searched_images_and_their_faces(two: bytes, face: bytes) -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO") as server:
        server.post(instances(two, saved(photo()), b"no image"), "application/json", "/detect")
        server.post(face)
        searched, aligned = (line for line in lines(server) if line["httpRequest"]["requestMethod"] == "POST")
    assert searched["httpRequest"]["requestUrl"] == "/detect"
    assert [searched[name] for name in ("images", "failed", "photos", "faces")] == [3, 1, 2, 2]
    assert sum(searched["predictions"]["age"].values()) == 2
    assert searched["formats"] == {"PNG": 2}
    assert sum(searched["sides"].values()) == 2
    assert "photos" not in aligned


def test_a_key_is_required(two: bytes) -> None:
    with serve(FUNCTION, API_KEY="sixteen-characters") as guarded:
        assert guarded.post(two, path="/detect").status_code == 401
        assert guarded.post(two, path="/detect", **{"X-API-Key": "sixteen-characters"}).status_code == 200


def test_a_deadline_that_passes_ends_a_request() -> None:
    places = ((left, top, 150) for left in range(20, 1400, 170) for top in (20, 200, 380))
    faces = saved(photo(*places, size=(1600, 600)))
    with serve(FUNCTION, REQUEST_TIMEOUT="1") as server:
        server.post(faces, path="/detect")
        response = server.post(instances(*[faces] * 12), "application/json", "/detect")
        assert server.get("/health").is_success
    failed = [each["error"]["status"] for each in response.json().get("predictions", ()) if "error" in each]
    assert response.status_code == 503 or set(failed) == {503}


def test_predict_answers_what_decoder_and_predictor_give(server: Server) -> None:
    predictor = Predictor(BUNDLED)
    check = input_check.of(BUNDLED)
    for age in range(0, 90, 9):
        face = draw(age, age % 2, age % 5, seed=age)
        image = images.read(face, BUNDLED.size)
        (estimates,) = predictor.predict(image.pixels[None])
        wanted: dict[str, Any] = {
            "age": estimates.age._asdict(),
            **{head: choice._asdict() for head, choice in estimates.choices.items()},
        }
        if warnings := check.warnings(image):
            wanted["warnings"] = [warning._asdict() for warning in warnings]
        assert server.post(face).json() == {"predictions": [wanted], "model": BUNDLED.identity()}


def test_the_manifest_served_states_the_detectors_files(server: Server) -> None:
    manifest = server.get("/model").json()
    stated = manifest.pop("detector")["files"]
    assert manifest == BUNDLED.manifest
    folder = FUNCTION / "serving" / "detection"
    assert stated == {path.name: storage.digest(path.read_bytes()) for path in folder.glob("*.tflite")}


def with_detector(folder: Path, section: object) -> str:
    """Write the bundled release with a section `detector`, and return its folder."""
    folder.mkdir()
    for name in ("model.tflite", "manifest.json"):
        (folder / name).write_bytes((FUNCTION / "model" / name).read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text()) | {"detector": section}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def test_a_release_of_another_detector_is_refused_at_the_start(server: Server, tmp_path: Path, two: bytes) -> None:
    own = server.get("/model").json()["detector"]
    with serve(FUNCTION, HEADS=HEADS, MODEL_URI=with_detector(tmp_path / "own", own)) as same:
        assert same.post(two, path="/detect").json() == server.post(two, path="/detect").json()
    other = {"files": dict.fromkeys(own["files"], "0" * 64)}
    for number, section in enumerate((other, {}, None, ["files"])):
        said = refusal(FUNCTION, MODEL_URI=with_detector(tmp_path / str(number), section))
        assert "was made with the detector" in said
        assert "face_detection_back.tflite e376cf6b" in said
        assert "deploy the function of the release's commit" in said


def test_a_drawn_face_alone_is_found(server: Server) -> None:
    found = one(server.post(saved(drawn_face()), path="/detect"))
    assert len(found["faces"]) == 1

"""The whole function over HTTP."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from serving.detection import files
from tests.conftest import FUNCTION
from tests.ports import free_port
from tests.server import Server, serve
from training.faces import draw

MANIFEST = json.loads((FUNCTION / "model" / "manifest.json").read_text())


def instances(*images: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}).encode()


def encoded(face: bytes, kind: str) -> bytes:
    out = BytesIO()
    Image.open(BytesIO(face)).save(out, kind, lossless=True)
    return out.getvalue()


def predictions(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    result: list[dict[str, Any]] = response.json()["predictions"]
    return result


def test_a_prediction_has_the_published_shape(server: Server, face: bytes) -> None:
    body = server.post(face).json()
    (prediction,) = body["predictions"]
    assert list(body) == ["predictions", "model"]
    assert body["model"] == {
        "name": MANIFEST["name"],
        "version": MANIFEST["version"],
        "sha256": MANIFEST["model"]["sha256"],
    }
    # A drawing is not a face.
    assert list(prediction) == ["age", "gender", "ethnicity", "warnings"]
    assert 0 <= prediction["age"]["low"] <= prediction["age"]["years"] <= prediction["age"]["high"] <= 117
    assert prediction["gender"]["label"] in ("male", "female")
    assert 0.5 <= prediction["gender"]["probability"] <= 1
    assert prediction["ethnicity"]["label"] in ("white", "black", "asian", "indian", "other")
    assert 0.2 <= prediction["ethnicity"]["probability"] <= 1


def test_every_kind_of_body_gives_the_same_prediction(server: Server, face: bytes) -> None:
    wanted = predictions(server.post(face))
    form = httpx.post(server.url + "/predict", files={"image": ("face.jpg", face, "image/jpeg")}, timeout=30)
    assert predictions(form) == wanted
    assert predictions(server.post(instances(face), "application/json")) == wanted
    assert predictions(server.post(face, path="/")) == wanted


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_formats_of_the_same_pixels_agree(server: Server, face: bytes, kind: str) -> None:
    # Decoders of one JPEG and its lossless copy see the same pixels, for faces below the reduced-scale decoding.
    assert predictions(server.post(encoded(face, kind), f"image/{kind.lower()}")) == predictions(server.post(face))


def test_predictions_are_in_the_order_of_the_images(server: Server) -> None:
    faces = [draw(age, 0, 0, seed=age) for age in (2, 30, 80)]
    alone = [predictions(server.post(face))[0] for face in faces]
    form = [("image", ("face.jpg", face, "image/jpeg")) for face in faces]
    together = predictions(server.post(instances(*faces), "application/json"))
    assert together == alone
    assert predictions(httpx.post(server.url + "/predict", files=form, timeout=30)) == together


def test_a_bad_image_among_good_ones_fails_alone(server: Server, face: bytes) -> None:
    found = predictions(server.post(instances(face, b"no image", face), "application/json"))
    assert found[0] == found[2]
    assert found[1]["error"]["status"] == 415


def test_only_bad_images_are_a_problem_that_lists_each(server: Server) -> None:
    response = server.post(instances(b"a", b""), "application/json")
    assert response.status_code == 422
    assert [error["status"] for error in response.json()["errors"]] == [415, 415]


def test_ethnicity_is_predicted_only_if_heads_has_it(face: bytes) -> None:
    with serve(FUNCTION) as default:
        assert list(predictions(default.post(face))[0]) == ["age", "gender", "warnings"]


def test_the_page_and_its_parts_are_served(server: Server) -> None:
    page = server.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    parts = sorted(file.name for file in (FUNCTION / "serving" / "page").glob("*.*s") if file.name != "docs.css")
    assert len(parts) > 2
    for part in parts:
        assert f'"{part}"' in page.text
        assert server.get(f"/{part}").headers["Content-Type"].startswith(("text/css", "text/javascript"))


def test_json_bodies_end_with_a_newline(server: Server, face: bytes) -> None:
    for response in (
        server.post(face),
        *(server.get(path) for path in ("/health", "/model", "/v2", "/openapi.json", "/nothing")),
    ):
        assert response.text.endswith("}\n")
        assert response.text.count("\n") == 1


def test_health_and_manifest_are_json(server: Server) -> None:
    assert server.get("/health").json()["status"] == "ok"
    assert server.get("/model").json() == {**MANIFEST, "detector": files.section()}


def huge() -> bytes:
    out = BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    return out.getvalue()


def form(parts: int, name: str) -> bytes:
    part = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\nx\r\n'
    return (part * parts + "--b--\r\n").encode()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"", "image/jpeg", 415, "empty"),
        (b"no image", "image/jpeg", 415, "not an image of a known format"),
        (b"\xff\xd8\xff\xe0 broken", "image/jpeg", 422, "damaged or truncated"),
        (draw(30, 0, 0, seed=1)[:1200], "image/jpeg", 422, "truncated"),
        (huge(), "image/png", 413, "10000x10000"),
        (b"GIF89a", "image/gif", 415, "a GIF"),
        (b"x", "text/plain", 415, "text/plain"),
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 100_000, "application/json", 400, "more than 10000 JSON values"),
        (b"[]", "application/json", 400, "instances"),
        (b'{"instances": []}', "application/json", 400, "no image"),
        (b'{"instances": [7]}', "application/json", 400, "instance 0"),
        (b'{"instances": [{"b64": "%%%"}]}', "application/json", 400, "base64"),
        (instances(*[b"x"] * 33), "application/json", 413, "33 images"),
        (b"--b\r\n\r\n", "multipart/form-data", 400, "has no boundary"),
        (form(1, "image"), "multipart/form-data; boundary=another", 400, "does not contain the boundary"),
        (
            form(1, "image").replace(b"; filename", b"; notes"),
            "multipart/form-data; boundary=b",
            400,
            "'image' has no filename",
        ),
        (form(2, "image")[:-8], "multipart/form-data; boundary=b", 400, "closing boundary is missing"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 400, "no image"),
        (
            form(1, "image").replace(b"x\r\n", b"--c\r\n"),
            "multipart/form-data; boundary=b",
            415,
            "not an image of a known",
        ),
        (form(33, "image"), "multipart/form-data; boundary=b", 413, "33 images"),
        (form(2000, "image"), "multipart/form-data; boundary=b", 413, "1000 parts"),
        (form(1, "p" * 2**19), "multipart/form-data; boundary=b", 415, "not an image of a known"),
        (form(1, "p" * 2**21), "multipart/form-data; boundary=b", 413, "header of more than a megabyte"),
        (form(1, "image"), "multipart/mixed; boundary=b", 415, "multipart/mixed"),
        (b"\x00" * (20 * 2**20 + 1), "image/jpeg", 413, "20971520 bytes"),
    ],
)
def test_bad_input_gets_a_problem_that_says_what_was_found(
    server: Server, body: bytes, content_type: str, status: int, said: str
) -> None:
    response = server.post(body, content_type)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert said in problem["detail"]
    assert server.get("/health").is_success


def test_a_chunked_body_past_the_limit_is_refused(server: Server) -> None:
    chunks = (b"\x00" * 2**20 for _ in range(22))
    response = httpx.post(server.url, content=chunks, headers={"Content-Type": "image/jpeg"}, timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/predict", "POST, OPTIONS"),
        ("GET", "/predict", "POST, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_gets_the_allowed_ones(server: Server, method: str, path: str, allow: str) -> None:
    response = httpx.request(method, server.url + path, timeout=30)
    assert (response.status_code, response.headers["Allow"]) == (405, allow)


def test_an_unknown_path_is_not_found(server: Server) -> None:
    assert server.get("/../etc/passwd").status_code == 404
    assert server.get("/nothing").json()["status"] == 404


def test_tensorflow_serving_clients_find_the_models_status(server: Server) -> None:
    (status,) = server.get(f"/v1/models/{MANIFEST['name']}").json()["model_version_status"]
    assert (status["version"], status["state"]) == (MANIFEST["version"], "AVAILABLE")


def test_vertex_ai_chooses_port_and_paths(face: bytes) -> None:
    with serve(
        FUNCTION,
        AIP_HTTP_PORT=str(free_port()),
        AIP_HEALTH_ROUTE="/v1/endpoints/1",
        AIP_PREDICT_ROUTE="/v1/endpoints/1:predict",
    ) as server:
        assert server.get("/v1/endpoints/1").json()["status"] == "ok"
        prediction = server.post(instances(face), "application/json", "/v1/endpoints/1:predict")
        assert predictions(prediction) == predictions(server.post(face))
        assert predictions(server.post(instances(face), "application/json", f"/v1/models/{MANIFEST['name']}:predict"))


def test_a_large_upload_stays_in_memory(tmp_path: Path) -> None:
    image = BytesIO()
    Image.effect_noise((1200, 1200), 50).save(image, "PNG")
    assert len(image.getvalue()) > 2**20
    with serve(FUNCTION, TMPDIR=str(tmp_path)) as server:
        # Gone once the server has begun: whatever is written there from now on fails.
        tmp_path.rmdir()
        form = {"image": ("face.png", image.getvalue(), "image/png")}
        assert predictions(httpx.post(f"{server.url}/predict", files=form, timeout=30))

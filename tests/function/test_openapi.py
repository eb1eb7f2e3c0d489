"""The OpenAPI description against the running function: shape, examples, and requests generated from it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from axe_playwright_python.sync_playwright import Axe
from hypothesis import strategies
from PIL import Image
from playwright.sync_api import sync_playwright
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.openapi import from_url

from serving import problems
from tests.conftest import FUNCTION
from tests.function.bad_images import saved
from tests.photos import photo
from tests.server import Server, serve
from training.faces import draw

KEY = "a key that is long enough".replace(" ", "-")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """The function with all routes and heads."""
    with serve(
        FUNCTION,
        API_KEY=KEY,
        HEADS="age,gender,ethnicity",
        AIP_HEALTH_ROUTE="/v1/endpoints/1/deployedModels/2",
        AIP_PREDICT_ROUTE="/v1/endpoints/1/deployedModels/2:predict",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def document(guarded: Server) -> Document:
    described: Document = guarded.get("/openapi.json").json()
    return described


def operations(document: Document) -> list[tuple[str, str, Document]]:
    return [
        (path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def validate(body: object, name: str, document: Document) -> None:
    schemas = json.dumps({"$defs": document["components"]["schemas"], "$ref": f"#/$defs/{name}"})
    jsonschema.validate(body, json.loads(schemas.replace("#/components/schemas/", "#/$defs/")))


def test_it_is_openapi_3_1(guarded: Server, document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    from_url(f"{guarded.url}/openapi.json").validate()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_is_described_and_nothing_else(document: Document) -> None:
    from main import API

    described = {
        path: {method for method in map(str.upper, methods) if method not in ("HEAD", "OPTIONS")}
        for path, methods in document["paths"].items()
        if "/endpoints/" not in path
    }
    assert described == {path: set(methods) for path, methods in API.routes.items()}


def test_options_names_exactly_the_methods_described(guarded: Server, document: Document) -> None:
    for path, methods in document["paths"].items():
        response = httpx.options(guarded.url + path, timeout=30)
        assert response.status_code == 204
        assert set(response.headers["Allow"].split(", ")) == set(map(str.upper, methods))


def test_the_key_is_required_where_the_description_says_so(guarded: Server, document: Document) -> None:
    asked = [(path, method) for path, method, operation in operations(document) if "security" in operation]
    refused = [
        (path, method)
        for path, method, _ in operations(document)
        if httpx.request(method, guarded.url + path, timeout=30).status_code == 401
    ]
    assert refused == asked
    assert ("/predict", "POST") in asked


def test_without_a_key_none_is_described(server: Server) -> None:
    described = server.get("/openapi.json").json()
    assert "securitySchemes" not in described["components"]
    assert not [operation for _, _, operation in operations(described) if "401" in operation["responses"]]


def test_every_example_of_a_request_succeeds_and_of_a_response_is_valid(guarded: Server, document: Document) -> None:
    run = Counter[str]()
    for path, method, operation in operations(document):
        bodies = operation.get("requestBody", {}).get("content", {})
        for media, content in bodies.items():
            if "example" not in content:
                continue
            response = httpx.request(
                method, guarded.url + path, json=content["example"], headers={"X-API-Key": KEY}, timeout=30
            )
            assert (response.status_code, media) == (200, "application/json"), response.text
            described = operation["responses"]["200"]["content"]["application/json"]
            name = described["schema"]["$ref"].rpartition("/")[2]
            if name == "PredictionsOrDetections":
                name = "Predictions"
            validate(response.json(), name, document)
            if "example" in described:
                validate(described["example"], name, document)
            run[name] += 1
    # /, /predict, TensorFlow Serving's and Vertex AI's; infer with and without a version
    assert run == {"Predictions": 4, "Detections": 1, "InferResponse": 2, "Demographics": 1}


def test_the_default_of_detect_is_described(document: Document) -> None:
    with serve(FUNCTION, DETECT="true") as whole:
        described = whole.get("/openapi.json").json()
        page = whole.get("/docs").text
    for each, default in ((document, False), (described, True)):
        operation = each["paths"]["/predict"]["post"]
        parameter, probabilities = operation["parameters"]
        assert (parameter["name"], parameter["in"], parameter["schema"]["default"]) == ("detect", "query", default)
        assert (probabilities["name"], probabilities["schema"]["default"]) == ("probabilities", False)
        assert operation["summary"].startswith("Find the faces") is default
        example = operation["responses"]["200"]["content"]["application/json"]["example"]
        validate(example, "Detections" if default else "Predictions", each)
        assert f"default is `{json.dumps(default)}`" in " ".join(each["info"]["description"].split())
    assert "Query parameters" in page
    offered = {
        path
        for path, _, operation in operations(described)
        if "detect" in [parameter["name"] for parameter in operation.get("parameters", [])]
    }
    # /detect always finds faces, and infer never does.
    assert offered == {"/", "/predict", "/summarize", "/v1/models/age-gender-detection:predict"}


def test_faces_of_a_whole_image_follow_the_description(guarded: Server, document: Document) -> None:
    image = base64.b64encode(saved(photo((200, 100, 200)), "JPEG")).decode()
    body = json.dumps({"instances": [{"b64": image}, {"b64": "AAAA"}]}).encode()
    for path in ("/detect", "/predict?detect=true", "/detect?probabilities=true"):
        url, headers = guarded.url + path, {"X-API-Key": KEY, "Content-Type": "application/json"}
        found = httpx.post(url, content=body, headers=headers, timeout=30).json()
        (face,) = found["predictions"][0]["faces"]
        assert ("probabilities" in face) is path.endswith("?probabilities=true")
        validate(found, "Detections", document)


def test_the_limits_described_are_those_of_the_settings() -> None:
    with serve(FUNCTION, MAX_IMAGES="3", MAX_REQUEST_BYTES="54321", MIN_IMAGE_SIDE="40", HEADS="gender") as narrow:
        described = narrow.get("/openapi.json").json()
        example = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        response = narrow.post(json.dumps(example).encode(), "application/json")
    schemas = described["components"]["schemas"]
    assert schemas["Instances"]["properties"]["instances"]["maxItems"] == 3
    assert set(schemas["Prediction"]["properties"]) == {"gender", "probabilities", "release", "warnings"}
    body = described["paths"]["/predict"]["post"]["requestBody"]
    for limit in ("3 images", "54321 bytes", "shorter side of at least 40 pixels"):
        assert limit in body["description"]
    validate(response.json(), "Predictions", described)


def test_problems_of_every_kind_follow_the_description(server: Server, document: Document) -> None:
    several = json.dumps({"instances": [{"b64": "AAAA"}, {"b64": ""}]}).encode()
    for response in (server.post(several, "application/json"), server.post(b"", "text/plain"), server.get("/nothing")):
        assert response.headers["Content-Type"] == problems.MEDIA_TYPE
        validate(response.json(), "Problem", document)


def test_the_page_of_it_names_every_operation_and_loads_nothing_from_elsewhere(
    guarded: Server, document: Document
) -> None:
    page = guarded.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for path, method, _ in operations(document):
        if method not in ("HEAD", "OPTIONS"):
            assert f"<code>{method} {path}</code>" in page.text
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("<!doctype", "")


def test_the_docs_page_has_a_contents_list_and_readable_limits(guarded: Server, document: Document) -> None:
    text = guarded.get("/docs").text
    contents = re.search(r"<nav .*?</nav>", text, re.DOTALL)
    assert contents
    linked = re.findall(r'href="#([^"]+)"', contents[0])
    assert len(linked) == len(document["tags"]) + 1
    assert [anchor for anchor in linked if f'<h2 id="{anchor}">' not in text] == []
    assert "20 MiB" in text
    assert "50 megapixels" in text
    assert "20971520" not in text
    assert "Found" not in text
    assert "200 OK" in text


def test_the_description_states_the_share_of_the_interval(guarded: Server, document: Document) -> None:
    share = guarded.get("/model", **{"X-API-Key": KEY}).json()["calibration"]["age"]["coverage"]
    assert share == 0.8
    assert "80% of people" in " ".join(document["info"]["description"].split())
    schemas = document["components"]["schemas"]
    assert "80%" in schemas["Prediction"]["properties"]["age"]["properties"]["low"]["description"]
    assert "80%" in schemas["Manifest"]["description"]


def test_the_page_of_it_is_accessible_in_both_modes_and_on_a_phone(guarded: Server) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed; on Debian and Ubuntu: sudo apt-get install chromium")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(f"{guarded.url}/docs")
            assert Axe().run(page).response["violations"] == []
            assert page.evaluate("document.documentElement.scrollWidth") == 390
        browser.close()
    assert complaints == []


def images() -> strategies.SearchStrategy[bytes]:
    """Images of any measures, formats and colours that are allowed."""

    def encode(size: tuple[int, int], color: tuple[int, int, int], kind: str) -> bytes:
        out = BytesIO()
        Image.new("RGB", size, color).save(out, kind)
        return out.getvalue()

    side, level = strategies.integers(16, 160), strategies.integers(0, 255)
    kinds = strategies.sampled_from(["JPEG", "PNG", "WEBP"])
    drawn = strategies.builds(encode, strategies.tuples(side, side), strategies.tuples(level, level, level), kinds)
    return drawn | strategies.just(draw(age=30, gender=1, ethnicity=2, seed=7))


def refuses_one(interaction: Any) -> bool:
    """Whether a bad instance among good ones has failed alone."""
    predictions = json.loads(interaction.response.content).get("predictions", [])
    return any("error" in prediction for prediction in predictions)


@pytest.mark.slow
def test_requests_generated_from_the_description_get_the_described_responses(guarded: Server) -> None:
    drawn = images()
    for media in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
        schemathesis.openapi.media_type(media, drawn)
    schemathesis.openapi.format("binary", drawn)
    schemathesis.openapi.format("byte", drawn.map(lambda image: base64.b64encode(image).decode()))
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"X-API-Key": KEY},
            # An image of many pixels takes longer while other tests run.
            "request-timeout": 60,
            "generation": {"max-examples": 10, "deterministic": True, "database": "none"},
            "checks": {
                # too many images
                "negative_data_rejection": {"expected-statuses": [400, 401, 413, 415, 422]},
            },
        }
    )
    described = from_url(f"{guarded.url}/openapi.json", config=config)
    checked, failures = Counter[str](), []
    for event in schemathesis.engine.from_schema(described).execute():
        assert not isinstance(event, NonFatalError | FatalError), event
        if isinstance(event, ScenarioFinished):
            for case, checks in event.recorder.checks.items():
                for check in checks:
                    checked[check.name] += 1
                    if not check.failure_info:
                        continue
                    if check.name == "negative_data_rejection" and refuses_one(event.recorder.interactions[case]):
                        continue
                    # No schema says that a group of a few people, or an answer without probabilities, is refused.
                    if check.name == "positive_data_acceptance" and event.recorder.label == "POST /summarize":
                        continue
                    failures.append(f"{event.recorder.label}: {check.name}: {check.failure_info.failure}")
                    failures.append(check.failure_info.code_sample[:2000])
    assert failures == [], "\n".join(failures)
    assert checked["status_code_conformance"] > 400
    assert {"negative_data_rejection", "positive_data_acceptance", "unsupported_method", "ignored_auth"} <= set(checked)

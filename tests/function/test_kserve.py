"""KServe's Open Inference Protocol, with a real client and by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import FUNCTION
from tests.server import Server, serve
from training.faces import draw

MANIFEST = json.loads((FUNCTION / "model" / "manifest.json").read_text())
NAME, VERSION = MANIFEST["name"], MANIFEST["version"]
INFER = f"/v2/models/{NAME}/infer"
FACES = [draw(age, age % 2, age % 5, seed=age) for age in (2, 30, 80)]
TEXTS = [base64.b64encode(face).decode() for face in FACES]
OUTPUTS = {
    "age": "INT32",
    "age_low": "INT32",
    "age_high": "INT32",
    "gender": "BYTES",
    "gender_probability": "FP32",
    "ethnicity": "BYTES",
    "ethnicity_probability": "FP32",
    "warnings": "BYTES",
}


def expected(server: Server) -> dict[str, list[Any]]:
    """The outputs that follow from /predict."""
    predictions = [server.post(face).json()["predictions"][0] for face in FACES]
    return {
        "age": [each["age"]["years"] for each in predictions],
        "age_low": [each["age"]["low"] for each in predictions],
        "age_high": [each["age"]["high"] for each in predictions],
        "gender": [each["gender"]["label"] for each in predictions],
        "gender_probability": [each["gender"]["probability"] for each in predictions],
        "ethnicity": [each["ethnicity"]["label"] for each in predictions],
        "ethnicity_probability": [each["ethnicity"]["probability"] for each in predictions],
        "warnings": [",".join(each["code"] for each in one.get("warnings", [])) for one in predictions],
    }


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_predictions(server: Server, binary: bool) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    elements = FACES if binary else [text.encode() for text in TEXTS]
    tensor = InferInput("image", [len(FACES)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=object), binary_data=binary)
    with InferenceServerClient(server.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NAME, VERSION)
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        metadata = client.get_model_metadata(NAME)
        result = client.infer(NAME, [tensor], request_id="seven")
        some = client.infer(NAME, [tensor], VERSION, [InferRequestedOutput("age"), InferRequestedOutput("gender")])
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert {output["name"]: output["datatype"] for output in metadata["outputs"]} == OUTPUTS
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", NAME, VERSION)
    found = {output["name"]: result.as_numpy(output["name"]) for output in response["outputs"]}
    wanted = expected(server)
    assert {name: values.shape for name, values in found.items()} == {name: (len(FACES),) for name in OUTPUTS}
    for name, datatype in OUTPUTS.items():
        if datatype == "FP32":
            assert np.array_equal(found[name], np.array(wanted[name], np.float32))
        else:
            assert found[name].tolist() == wanted[name]
    assert [output["name"] for output in some.get_response()["outputs"]] == ["age", "gender"]


def test_tritonclient_gets_the_reason_of_a_refusal(server: Server) -> None:
    from tritonclient.http import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    tensor = InferInput("image", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([FACES[0], b"no image"], dtype=object))
    with InferenceServerClient(server.url.removeprefix("http://")) as client:
        with pytest.raises(InferenceServerException, match="image 1: the data is not an image"):
            client.infer(NAME, [tensor])
        with pytest.raises(InferenceServerException, match="there is nothing at this path"):
            client.infer("another", [tensor])


def test_only_the_selected_heads_are_outputs() -> None:
    with serve(FUNCTION) as default:
        metadata = default.get(f"/v2/models/{NAME}").json()
        assert "ethnicity" not in {output["name"] for output in metadata["outputs"]}
        response = default.post(json.dumps(request(*TEXTS)).encode(), "application/json", INFER).json()
    assert [output["name"] for output in response["outputs"]] == [output["name"] for output in metadata["outputs"]]


def request(*elements: object, **others: object) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(elements)], "data": [*elements]}
    return {"inputs": [tensor | others]}


def test_rows_of_elements_are_as_good_as_a_list(server: Server) -> None:
    flat = server.post(json.dumps(request(*TEXTS)).encode(), "application/json", INFER).json()
    rows = server.post(json.dumps(request(*([text] for text in TEXTS))).encode(), "application/json", INFER).json()
    assert flat == rows
    assert flat["outputs"][0]["data"] == expected(server)["age"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, 'no list "inputs"'),
        ({"inputs": [1]}, 400, 'no list "inputs"'),
        ([], 400, 'no list "inputs"'),
        (request(TEXTS[0], name="pixels"), 400, "not the BYTES tensor 'image'"),
        (request(TEXTS[0], datatype="FP32"), 400, "not the BYTES tensor 'image'"),
        (request(), 400, "no image"),
        (request(data=TEXTS[0]), 400, "the data of the input is not a list"),
        (request("%%%"), 400, "element 0 of the input is not base64"),
        (request(7), 400, "element 0 of the input is not a string"),
        (request(TEXTS[0], "%%%"), 400, "image 1: element 1 of the input is not base64"),
        (request(*TEXTS[:1] * 33), 413, "33 images"),
        (request(TEXTS[0]) | {"id": 7}, 400, "the id is not a string"),
        (request(TEXTS[0]) | {"outputs": [{"name": "mood"}]}, 400, "no output 'mood'; the outputs are age, age_low"),
        (request(TEXTS[0]) | {"outputs": [7]}, 400, "no output"),
        (request(TEXTS[0]) | {"outputs": {}}, 400, '"outputs" is not a list'),
    ],
)
def test_a_wrong_request_says_what_is_expected(server: Server, body: object, status: int, said: str) -> None:
    response = server.post(json.dumps(body).encode(), "application/json", INFER)
    problem = response.json()
    assert (response.status_code, problem["error"]) == (status, problem["detail"])
    assert said in problem["detail"]


@pytest.mark.parametrize(
    ("length", "data", "said"),
    [
        ("wombat", b"", "not a number"),
        ("-1", b"", "not a number"),
        (None, b"\xff\xff\xff\xff" + FACES[0], "the binary data of the input is incomplete"),
        (None, FACES[0][:2], "the binary data of the input is incomplete"),
        (None, b"", "no image"),
    ],
)
def test_wrong_binary_data_is_refused(server: Server, length: str | None, data: bytes, said: str) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    response = httpx.post(server.url + INFER, content=head + data, headers=headers, timeout=30)
    assert response.status_code == 400
    assert said in response.json()["error"]

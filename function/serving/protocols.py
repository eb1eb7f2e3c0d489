"""Protocols of other model servers: KServe's Open Inference Protocol (V2), and TensorFlow Serving's status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from serving.heads import AGE
from serving.problems import Problem
from serving.release import Release
from serving.request_parsing import Images, decode_base64, parse_json

INPUT = "image"
"""Name of the input tensor: BYTES, one element per image."""
HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header of the binary data extension: bytes of the JSON before the binary data."""

_EXPECTED = (
    f'expected {{"inputs": [{{"name": "{INPUT}", "datatype": "BYTES", "shape": [1], "data": '
    '["<base64 of an image>"]}]}'
)


class OutputTensor(NamedTuple):
    """One output of `infer`, with one element per image."""

    datatype: str
    value: Callable[[dict[str, Any]], object]
    """Prediction as JSON -> element."""


class InferRequest(NamedTuple):
    """The content of an `infer` request."""

    images: Images
    outputs: list[str]
    """Names of the requested outputs."""
    id: str
    """Copied to the response. Empty: none."""


def output_tensors(heads: tuple[str, ...]) -> dict[str, OutputTensor]:
    """Return the outputs of `infer` by name."""
    tensors: dict[str, OutputTensor] = {}
    for head in heads:
        if head == AGE:
            tensors[AGE] = OutputTensor("INT32", _member(AGE, "years"))
            tensors["age_low"] = OutputTensor("INT32", _member(AGE, "low"))
            tensors["age_high"] = OutputTensor("INT32", _member(AGE, "high"))
        else:
            tensors[head] = OutputTensor("BYTES", _member(head, "label"))
            tensors[f"{head}_probability"] = OutputTensor("FP32", _member(head, "probability"))
    tensors["warnings"] = OutputTensor(
        "BYTES", lambda prediction: ",".join(warning["code"] for warning in prediction.get("warnings", ()))
    )
    return tensors


def _member(head: str, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda prediction: prediction[head][name]


def server_metadata(release: Release) -> dict[str, Any]:
    """Return the server metadata of the Open Inference Protocol. The one release is the server."""
    return {"name": release.name, "version": release.version, "extensions": ["binary_tensor_data"]}


def model_metadata(release: Release, heads: tuple[str, ...]) -> dict[str, Any]:
    """Return the model metadata of the Open Inference Protocol: the tensors of `infer`, -1 for any number of images."""
    outputs = output_tensors(heads)
    return {
        "name": release.name,
        "versions": [release.version],
        "platform": "tensorflow_tflite",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": name, "datatype": tensor.datatype, "shape": [-1]} for name, tensor in outputs.items()],
    }


def model_ready(release: Release) -> dict[str, Any]:
    """Return the model readiness of the Open Inference Protocol: always true, or the function had not started."""
    return {"name": release.name, "ready": True}


def infer_request(data: bytes, header_length: str, heads: tuple[str, ...]) -> InferRequest:
    """Read the body of an `infer` request.

    Args:
        data: the body.
        header_length: the header HEADER_LENGTH. Empty: the whole body is JSON.
        heads: the heads of a prediction.

    Raises:
        Problem: 400 with what was found.
    """
    if header_length and not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{HEADER_LENGTH} is not a number of bytes")
    length = int(header_length) if header_length else len(data)
    content = parse_json(data[:length], _EXPECTED)
    inputs = content.get("inputs") if isinstance(content, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Problem(HTTPStatus.BAD_REQUEST, f'the body has no list "inputs" with one tensor; {_EXPECTED}')
    (tensor,) = inputs
    if (tensor.get("name"), tensor.get("datatype")) != (INPUT, "BYTES"):
        raise Problem(HTTPStatus.BAD_REQUEST, f"the input is not the BYTES tensor {INPUT!r}; {_EXPECTED}")
    identifier = content.get("id", "")
    if not isinstance(identifier, str):
        raise Problem(HTTPStatus.BAD_REQUEST, "the id is not a string")
    if "data" in tensor:
        if not isinstance(tensor["data"], list):
            raise Problem(HTTPStatus.BAD_REQUEST, f"the data of the input is not a list; {_EXPECTED}")
        images: Images = [_element(element, number) for number, element in enumerate(_flat(tensor["data"]))]
    else:
        images = list(_binary_elements(data[length:]))
    return InferRequest(images, _requested(content.get("outputs", []), heads), identifier)


def infer_response(
    release: Release, request: InferRequest, predictions: list[dict[str, Any]], heads: tuple[str, ...]
) -> dict[str, Any]:
    """Return the body of an `infer` response.

    Raises:
        Problem: an image failed. The protocol has no place for the error of one element.
    """
    for number, prediction in enumerate(predictions):
        if "error" in prediction:
            error = prediction["error"]
            raise Problem(HTTPStatus(error["status"]), f"image {number}: {error['detail']}")
    tensors = output_tensors(heads)
    return {
        "model_name": release.name,
        "model_version": release.version,
        **({"id": request.id} if request.id else {}),
        "outputs": [
            {
                "name": name,
                "datatype": tensors[name].datatype,
                "shape": [len(predictions)],
                "data": [tensors[name].value(prediction) for prediction in predictions],
            }
            for name in request.outputs
        ],
    }


def _element(element: object, number: int) -> bytes | Problem:
    if not isinstance(element, str):
        return Problem(HTTPStatus.BAD_REQUEST, f"element {number} of the input is not a string; {_EXPECTED}")
    try:
        return decode_base64(element)
    except ValueError as error:
        return Problem(HTTPStatus.BAD_REQUEST, f"element {number} of the input is not base64: {error}")


def _flat(data: object) -> Iterator[object]:
    """Return the elements of a tensor, row by row."""
    waiting = [data]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        else:
            yield each


def _binary_elements(data: bytes) -> Iterator[bytes]:
    """Return the elements of a binary BYTES tensor: each is preceded by its length in 4 bytes, little-endian."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        element = data[position + 4 : position + 4 + length]
        position += 4 + length
        if position > len(data):
            raise Problem(HTTPStatus.BAD_REQUEST, "the binary data of the input is incomplete")
        yield element


def _requested(outputs: object, heads: tuple[str, ...]) -> list[str]:
    known = [*output_tensors(heads)]
    if not isinstance(outputs, list):
        raise Problem(HTTPStatus.BAD_REQUEST, f'"outputs" is not a list; the outputs are {", ".join(known)}')
    if not outputs:
        return known
    names = [output.get("name") if isinstance(output, dict) else None for output in outputs]
    if unknown := [name for name in names if name not in known]:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"there is no output {unknown[0]!r:.100}; the outputs are {', '.join(known)}"
        )
    return [name for name in names if name is not None]


def model_status(release: Release) -> dict[str, Any]:
    """Return the model status of TensorFlow Serving."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": release.version, "state": "AVAILABLE", "status": status}]}

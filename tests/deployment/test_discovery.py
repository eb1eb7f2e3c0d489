"""Requests that Google's discovery documents do not describe are refused, and so are such answers of the fakes."""

from __future__ import annotations

import httpx
import pytest

from tests.emulator import Emulator
from tests.fake_gcp import discovery
from tests.fake_gcp.errors import ApiError

_SERVICE = "/v2/projects/p/locations/europe-west1/services/faces"
_RESUMABLE = "/resumable/upload/storage/v1/b/releases/o"


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ({"update_mask": "traffic"}, {}, 'Unknown name "update_mask"'),
        ({"validateOnly": "maybe"}, {}, "'validateOnly' \\(boolean\\)"),
        ({}, {"trafic": []}, 'Unknown name "trafic"'),
        ({}, {"template": {"containers": [{"enviroment": []}]}}, "at 'template.containers\\[0\\]'"),
        ({}, {"template": {"containers": {}}}, "'template.containers' \\(array\\)"),
        ({}, {"template": {"timeout": "5 min"}}, "'template.timeout' \\(google-duration\\)"),
        ({}, {"template": {"maxInstanceRequestConcurrency": True}}, "\\(int32\\), true"),
        ({}, {"ingress": "EVERYBODY"}, "'ingress' \\(enum\\)"),
        ({}, {"labels": {"commit": 1}}, "'labels.commit' \\(string\\)"),
        ({"updateMask": "uri"}, {"uri": "https://mine"}, "uri is an output"),
    ],
)
def test_changes_of_a_service_that_google_does_not_know(
    query: dict[str, str], body: dict[str, object], message: str
) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        discovery.method("PATCH", _SERVICE).check_request(query, body)
    assert refused.value.code == 400


def test_what_google_documents_is_accepted() -> None:
    body = {"template": {"timeout": "5s", "labels": None}, "ingress": 1, "generation": "3", "uri": "https://a"}
    discovery.method("PATCH", _SERVICE).check_request({"$alt": "json", "allowMissing": "true"}, body)


def test_a_field_may_have_its_name_in_protobuf() -> None:
    discovery.method("PATCH", _SERVICE).check_request({}, {"launch_stage": "GA"})
    with pytest.raises(ApiError, match="observed_generation is an output"):
        discovery.method("PATCH", _SERVICE).check_request({"updateMask": "x"}, {"observed_generation": "3"})


@pytest.mark.parametrize(("verb", "path"), [("PUT", _SERVICE), ("GET", f"{_SERVICE}/revisons"), ("GET", _RESUMABLE)])
def test_methods_that_no_api_has(verb: str, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        discovery.method(verb, path)
    assert refused.value.code == 404


def test_a_body_where_the_method_has_none() -> None:
    with pytest.raises(ApiError, match="no body"):
        discovery.method("GET", _SERVICE).check_request({}, {})


def test_an_answer_that_google_does_not_give() -> None:
    with pytest.raises(AssertionError, match=r"none of Google's.*url"):
        discovery.method("GET", _SERVICE).check_response({"url": "https://a"})


def test_storage_refuses_what_its_document_does_not_describe(strict_storage: Emulator) -> None:
    objects = f"{strict_storage.url}/storage/v1/b/{strict_storage.bucket}/o"
    refused = httpx.get(objects, params={"prefx": "a"})
    assert refused.status_code == 400
    assert 'Unknown name "prefx"' in refused.json()["error"]["message"]
    assert httpx.get(objects, params={"prefix": "a"}).status_code == 200
    uploads = f"{strict_storage.url}/upload/storage/v1/b/{strict_storage.bucket}/o?uploadType=resumable"
    assert httpx.post(uploads, json={"name": "a", "hold": True}).status_code == 400

"""The fake Google Cloud refuses the requests that Google refuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.deployment.conftest import Setup
from tests.fake_gcp import tokens

Json = dict[str, Any]
PINNED = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


def unknown_field(service: Json) -> None:
    service["trafic"] = []


def unknown_template_field(service: Json) -> None:
    service["template"]["containers"][0]["enviroment"] = []


def wrong_sum(service: Json) -> None:
    service["traffic"][0]["percent"] = 90


def foreign_revision(service: Json) -> None:
    service["traffic"] = [{"type": PINNED, "revision": "other", "percent": 100}]


def same_tag_twice(service: Json) -> None:
    service["traffic"] += [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "tag": "a"}] * 2


def bad_label(service: Json) -> None:
    service["template"].setdefault("labels", {})["commit"] = "Not+Allowed"


def reserved_variable(service: Json) -> None:
    service["template"]["containers"][0]["env"] = [{"name": "PORT", "value": "1"}]


def stale_etag(service: Json) -> None:
    service["etag"] = '"stale"'


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (unknown_field, 400),
        (unknown_template_field, 400),
        (wrong_sum, 400),
        (foreign_revision, 400),
        (same_tag_twice, 400),
        (bad_label, 400),
        (reserved_variable, 400),
        (stale_etag, 409),
    ],
)
def test_fake_cloud_refuses_invalid_services(setup: Setup, spoil: Callable[[Json], None], code: int) -> None:
    address = f"{setup.fake_cloud.url}/v2/{setup.service.name}"
    owner = httpx.Client(headers=setup.fake_cloud.user(tokens.ACCESS))
    service = owner.get(address).json()
    assert owner.patch(address, json=service).status_code == 200
    # The change ends in the background, with another etag.
    while (service := owner.get(address).json()).get("reconciling"):
        time.sleep(0.05)
    spoil(service)
    refused = owner.patch(address, json=service)
    assert refused.status_code == refused.json()["error"]["code"] == code

"""Requests to a revision as its users send them, timed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from training.deployment import identity
from training.deployment.service import CloudRunService


@dataclass(frozen=True)
class ServiceResponse:
    """What came back; status 0 where nothing did."""

    status: int
    seconds: float
    content_type: str = ""
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The body as an object; an empty one where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class ServedModel:
    """Which release a revision says that it serves."""

    version: str
    # hex digest of its model file
    sha256: str


class ServiceClient:
    """Somebody who asks at one address."""

    def __init__(self, url: str, audience: str, api_key: str = "", seconds: float = 60.0) -> None:
        """Get what the service asks for.

        Args:
            url: of the service or of a tag.
            audience: the service's own address, for which the token is, whatever the tag.
            api_key: where the function itself asks for one.
            seconds: one request may take.

        Raises:
            StepError: there is no identity that could ask.
        """
        self.url, self._seconds = url.rstrip("/"), seconds
        self._session = requests.Session()
        if token := identity.token(audience):
            self._session.headers["Authorization"] = f"Bearer {token}"
        if api_key:
            self._session.headers["X-API-Key"] = api_key

    @classmethod
    def of(cls, service: CloudRunService, tag: str, variables: Mapping[str, str], seconds: float) -> ServiceClient:
        """Who asks the revision that has `tag`; its container's `variables`, or else API_KEY here, may name a key.

        Raises:
            StepError: there is no identity that could ask, or the service cannot be read.
        """
        api_key = variables.get("API_KEY") or os.environ.get("API_KEY", "")
        return cls(service.address(tag), service.address(), api_key, seconds)

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> ServiceResponse:
        """One request and its answer."""
        headers = {"Content-Type": content_type} if content_type else {}
        started = time.perf_counter()
        try:
            found = self._session.request(
                method, self.url + path, data=body, headers=headers, timeout=self._seconds, allow_redirects=False
            )
        except requests.RequestException:
            return ServiceResponse(0, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        return ServiceResponse(found.status_code, seconds, found.headers.get("Content-Type", ""), found.content)

    def predict(self, image: bytes) -> ServiceResponse:
        """Ask about one image."""
        return self.ask("POST", "/predict", image, "image/jpeg")

    def model(self) -> ServedModel | None:
        """What its health says that it serves; None where it is not this function."""
        stated = self.ask("GET", "/health").json().get("model")
        if not isinstance(stated, dict) or not stated:
            return None
        return ServedModel(stated.get("version", ""), stated.get("sha256", ""))

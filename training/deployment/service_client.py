"""Timed HTTP requests to a revision."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from training.deployment import identity
from training.deployment.logs import PROBE
from training.deployment.service import CloudRunService

# seconds after which a tag answers for the revision that it names
PATIENCE = 30
# Seconds to wait before each further try of a request for which no instance was free
_PAUSES = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class ServiceResponse:
    """A response; status 0 without one."""

    status: int
    seconds: float
    content_type: str = ""
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, or {} if it is not one."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class ServedModel:
    """The release that a revision reports."""

    version: str
    sha256: str
    """Hex digest of the model file."""


class ServiceClient:
    """HTTP client of one address."""

    def __init__(self, url: str, audience: str, api_key: str = "", seconds: float = 60.0) -> None:
        """Get the credentials that the service needs.

        Args:
            url: Address of the service or of a tag.
            audience: Address of the service, which the identity token names for every tag.
            api_key: The function's API key, if it requires one.
            seconds: Timeout of a request.

        Raises:
            StepError: No identity token can be created.
        """
        self.url, self._seconds = url.rstrip("/"), seconds
        self._session = requests.Session()
        if token := identity.token(audience):
            self._session.headers["Authorization"] = f"Bearer {token}"
        if api_key:
            self._session.headers["X-API-Key"] = api_key

    @classmethod
    def of(cls, service: CloudRunService, tag: str, variables: Mapping[str, str], seconds: float) -> ServiceClient:
        """Return a client of the revision with `tag`. API_KEY comes from `variables`, or else from the environment.

        Raises:
            StepError: No identity token can be created, or the service cannot be read.
        """
        api_key = variables.get("API_KEY") or os.environ.get("API_KEY", "")
        return cls(service.address(tag), service.address(), api_key, seconds)

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> ServiceResponse:
        """Send one request and measure its latency. Its id says that it is no user's.

        Cloud Run answers 429 without asking the revision while no instance is free. Such a request is sent again.
        """
        for pause in _PAUSES:
            if (found := self._once(method, path, body, content_type)).status != HTTPStatus.TOO_MANY_REQUESTS:
                return found
            time.sleep(pause)
        return self._once(method, path, body, content_type)

    def _once(self, method: str, path: str, body: bytes, content_type: str) -> ServiceResponse:
        headers = {"X-Request-Id": f"{PROBE}{os.urandom(8).hex()}"}
        headers |= {"Content-Type": content_type} if content_type else {}
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
        """Request the prediction of one image."""
        return self.request("POST", "/predict", image, "image/jpeg")

    def model(self) -> ServedModel | None:
        """Return the release that /health reports, or None if this is another application."""
        stated = self.request("GET", "/health").json().get("model")
        if not isinstance(stated, dict):
            return None
        version, sha256 = stated.get("version"), stated.get("sha256")
        return ServedModel(version, sha256) if isinstance(version, str) and isinstance(sha256, str) else None

    def awaited(self, wanted: ServedModel) -> ServedModel | None:
        """Return the release that /health reports. Ask again for `PATIENCE` seconds while it is not `wanted`.

        Cloud Run takes seconds to move a tag to another revision, and answers 404 at a new one meanwhile.
        """
        deadline = time.monotonic() + PATIENCE
        while (found := self.model()) != wanted and time.monotonic() < deadline:
            time.sleep(1)
        return found

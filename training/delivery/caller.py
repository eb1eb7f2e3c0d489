"""Requests to a revision as its users send them, timed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import requests

from training.delivery import identity


@dataclass(frozen=True)
class Answer:
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


class Caller:
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

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Answer:
        """One request and its answer."""
        headers = {"Content-Type": content_type} if content_type else {}
        started = time.perf_counter()
        try:
            found = self._session.request(
                method, self.url + path, data=body, headers=headers, timeout=self._seconds, allow_redirects=False
            )
        except requests.RequestException:
            return Answer(0, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        return Answer(found.status_code, seconds, found.headers.get("Content-Type", ""), found.content)

    def predict(self, picture: bytes) -> Answer:
        """Ask about one picture."""
        return self.ask("POST", "/predict", picture, "image/jpeg")

    def model(self) -> dict[str, Any]:
        """What its health says that it serves; {} where it is not this function."""
        model = self.ask("GET", "/health").json().get("model")
        return model if isinstance(model, dict) else {}

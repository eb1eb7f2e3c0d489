"""Text from logs and services: no control character of it reaches the terminal, and no odd shape ends a command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.deployment.conftest import Setup
from training.__main__ import main
from training.deployment import verification
from training.deployment.config import VerifyConfig
from training.deployment.logs import ServiceLog
from training.deployment.service_client import ServedModel, ServiceClient, ServiceResponse
from training.deployment.verification import RevisionResponses, Verification, VerificationCheck

# sets the title of a terminal, clears its screen, and overwrites a line
CONTROLS = "\x1b]0;title\x07\x1b[2J\rok \x9b31m\u202e"
AGE = {"years": 30, "low": 25, "high": 35}
GENDER = {"label": "male", "probability": 0.9}


def test_log_text_has_no_control_characters(setup: Setup) -> None:
    revision, name = "some-revision", setup.service.name
    resource = {"location": name.region, "service_name": name.name, "revision_name": revision}
    since = datetime.now(UTC) - timedelta(minutes=1)
    line = {"severity": "ERROR", "message": f"first\n{CONTROLS}"}
    setup.fake_cloud.log.line(name.project, resource, json.dumps(line))
    log = ServiceLog(name)
    for text in (log.last_error(revision, since), log.last_lines(revision)):
        # A traceback keeps its line breaks.
        first, second = text.split("\n")
        assert first == "first"
        assert second.isprintable()
        assert "title" in second


@pytest.mark.parametrize("model", [{"version": CONTROLS, "sha256": "0"}, {"version": ["1"], "sha256": None}, "1", [1]])
def test_health_of_another_application_is_not_trusted(model: object) -> None:
    class Health(ServiceClient):
        def request(self, *_: object) -> ServiceResponse:
            return ServiceResponse(200, 0.1, "", json.dumps({"model": model}).encode())

    found = Health("http://127.0.0.1", "http://127.0.0.1").model()
    assert found is None or found == ServedModel(CONTROLS, "0")


def test_commands_print_no_control_characters(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Verification([VerificationCheck("health", False, f"release {CONTROLS}")], [f"release {CONTROLS}"])
    monkeypatch.setattr(verification, "verify", lambda *_: found)
    assert main(["verify", "--service", str(setup.service.name), "--revision", "some-revision"]) == 1
    printed = capsys.readouterr().out
    assert [line for line in printed.split("\n") if not line.isprintable()] == []
    assert printed.count("title") == 2


@pytest.mark.parametrize(
    "prediction",
    [
        "age",
        {"age": 30, "gender": GENDER},
        {"age": {"years": 30}, "gender": GENDER},
        {"age": AGE | {"years": float("nan")}, "gender": GENDER},
        {"age": AGE, "gender": {"label": ["male"], "probability": 0.9}},
        {"age": AGE, "gender": {"label": "male", "probability": "0.9"}},
    ],
)
def test_malformed_prediction_differs_from_every_other(prediction: Any) -> None:
    response = SimpleNamespace(json=lambda: {"predictions": [prediction]}, seconds=0.1)
    (found,) = RevisionResponses([response]).predictions  # type: ignore[list-item]
    expected = {"age": AGE, "gender": GENDER}
    assert verification._differing([found], [expected], VerifyConfig())
    assert RevisionResponses([SimpleNamespace(json=lambda: {"predictions": [expected]})]).predictions == [expected]  # type: ignore[list-item]


def test_requests_that_the_function_cannot_implement_are_no_failures(setup: Setup) -> None:
    name = setup.service.name
    resource = {"location": name.region, "service_name": name.name, "revision_name": "some-revision"}
    # Every caller can cause a 501, for example with an unknown Transfer-Encoding.
    for status in (200, 404, 500, 501, 503):
        setup.fake_cloud.log.request(name.project, resource, {"status": status, "latency": "0.1s"})
    found = ServiceLog(name).requests("some-revision", datetime.now(UTC) - timedelta(minutes=1))
    assert (found.requests, found.errors) == (5, 2)

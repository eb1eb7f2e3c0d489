"""Verify a candidate with test requests and compare it with production."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from serving.heads import CHOICES
from serving.prediction import AgeEstimate
from serving.problems import MEDIA_TYPE
from serving.release import Release
from serving.settings import Settings
from serving.timeouts import Deadline
from training.deployment.config import VerifyConfig
from training.deployment.releases import reference
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, environment
from training.deployment.service_client import ServedModel, ServiceClient, ServiceResponse
from training.errors import StepError

PredictionJson = dict[str, Any]


@dataclass(frozen=True)
class VerificationCheck:
    """Result of one check."""

    name: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.passed else 'FAILED'}  {self.name:22}  {self.found}"


@dataclass(frozen=True)
class RevisionResponses:
    """Responses of a revision, one per image."""

    responses: list[ServiceResponse]

    @property
    def p95(self) -> float:
        """95th percentile of the latency in seconds."""
        return float(np.percentile([response.seconds for response in self.responses], 95))

    @property
    def predictions(self) -> list[PredictionJson]:
        """One prediction per image; {} without a well-formed one."""
        found = [response.json().get("predictions") for response in self.responses]
        return [each[0] if isinstance(each, list) and each and _is_prediction(each[0]) else {} for each in found]


@dataclass(frozen=True)
class Verification:
    """Result of a verification."""

    checks: list[VerificationCheck]
    comparison: list[str]
    """Lines of a table that compares candidate and production."""

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [check.name for check in self.checks if not check.passed]


def verify(service: CloudRunService, revision: str, images: list[bytes], config: VerifyConfig) -> Verification:
    """Send test requests to the candidate and to production, and compare the responses.

    Args:
        service: Service of the revision.
        revision: Name of the candidate.
        images: Encoded faces, at least one.
        config: Limits.

    Raises:
        StepError: `revision` is not the candidate, or its release cannot be loaded locally for the expected
            predictions.
    """
    service.require_candidate(revision)
    variables = environment(service.revision(revision))
    inference, settings = reference(variables)
    expected = [inference.predict([image], Deadline.after(config.request_timeout))[0] for image in images]
    candidate, production = (
        ServiceClient.of(service, tag, variables, config.request_timeout) for tag in (CANDIDATE, PRODUCTION)
    )
    release = inference.predictor.release
    wanted = ServedModel(release.version, release.sha256)
    first = candidate.predict(images[0])
    if first.status == HTTPStatus.NOT_FOUND:
        # Cloud Run does not know a new tag at once.
        candidate.awaited(wanted)
        first = candidate.predict(images[0])
    if first.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise StepError(
            f"{revision} returns status {first.status}; set API_KEY, or use an account that may invoke the service"
        )
    other = production.model()
    sides = RevisionResponses([]), RevisionResponses([])
    for image in images:
        # Alternate, so that load from elsewhere affects both revisions.
        for side, client in zip(sides, (candidate, production) if other else (candidate,), strict=False):
            side.responses.append(client.predict(image))
    checks = [
        _health(candidate, wanted),
        _first(first, config),
        _agreement(sides[0].predictions, expected, config),
        *_refusals(candidate, images[0], settings),
        _latency(*sides, config),
    ]
    if not other:
        return Verification(checks, ["production is another application (a placeholder?): no comparison"])
    if other == wanted:
        same = _differing(sides[0].predictions, sides[1].predictions, config)
        checks.append(VerificationCheck("equal predictions", not same, _summary(same, len(images))))
    return Verification(checks, list(_comparison(release, other, *sides)))


def _health(candidate: ServiceClient, wanted: ServedModel) -> VerificationCheck:
    found = candidate.awaited(wanted)
    return VerificationCheck("health", found == wanted, f"release {found.version if found else 'unknown'}")


def _first(response: ServiceResponse, config: VerifyConfig) -> VerificationCheck:
    passed = response.status == 200 and response.seconds <= config.first_response_seconds
    return VerificationCheck(
        "first response",
        passed,
        f"{response.status} after {response.seconds:.2f} s (≤ {config.first_response_seconds:g})",
    )


def _agreement(found: list[PredictionJson], expected: list[PredictionJson], config: VerifyConfig) -> VerificationCheck:
    differing = _differing(found, expected, config)
    return VerificationCheck("expected predictions", not differing, _summary(differing, len(expected)))


def _summary(differing: list[str], count: int) -> str:
    return f"{len(differing)} of {count} differ: {differing[0]}" if differing else f"all {count} as expected"


def _differing(found: list[PredictionJson], expected: list[PredictionJson], config: VerifyConfig) -> list[str]:
    """Return one line for each image whose prediction differs by more than the tolerance."""
    lines = []
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        if not _alike(one, other, config):
            lines.append(f"image {number}: {_text(one)} instead of {_text(other)}")
    return lines


def _text(prediction: PredictionJson) -> str:
    return (
        json.dumps({head: value for head, value in prediction.items() if head != "warnings"}) if prediction else "none"
    )


def _is_prediction(found: Any) -> bool:
    """Return whether a value from a response has the shape of a prediction, with finite numbers."""
    if not isinstance(found, dict):
        return False
    heads = {head: value for head, value in found.items() if head != "warnings"}
    return all(_is_age(value) if head == "age" else _is_choice(value) for head, value in heads.items())


def _is_age(found: Any) -> bool:
    return isinstance(found, dict) and all(_is_number(found.get(name)) for name in AgeEstimate._fields)


def _is_choice(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("label"), str) and _is_number(found.get("probability"))


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and math.isfinite(found)


def _alike(one: PredictionJson, other: PredictionJson, config: VerifyConfig) -> bool:
    heads = other.keys() - {"warnings"}
    if one.keys() - {"warnings"} != heads:
        return False
    ages = [head for head in heads if head == "age"]
    if any(abs(one[age][name] - other[age][name]) > config.age_tolerance for age in ages for name in other[age]):
        return False
    return all(_same_choice(one[head], other[head], config.probability_tolerance) for head in heads - {"age"})


def _same_choice(one: PredictionJson, other: PredictionJson, tolerance: float) -> bool:
    if one["label"] == other["label"]:
        return bool(abs(one["probability"] - other["probability"]) <= tolerance)
    # The two most likely labels may swap if their probabilities are nearly equal.
    return bool(max(one["probability"], other["probability"]) <= 0.5 + tolerance)


def _refusals(candidate: ServiceClient, image: bytes, settings: Settings) -> Iterator[VerificationCheck]:
    many = json.dumps({"instances": [{"b64": b64encode(image).decode()}] * (settings.max_images + 1)}).encode()
    for name, method, path, body, content_type, status in (
        ("not an image", "POST", "/predict", b"this is no image", "image/jpeg", 415),
        ("half an image", "POST", "/predict", image[: len(image) // 2], "image/jpeg", 422),
        ("too many images", "POST", "/predict", many, "application/json", 413),
        ("invalid JSON", "POST", "/predict", b"{", "application/json", 400),
        ("wrong method", "PUT", "/predict", image, "image/jpeg", 405),
        ("wrong path", "GET", "/nowhere", b"", "", 404),
    ):
        response = candidate.request(method, path, body, content_type)
        passed = response.status == response.json().get("status") == status and response.content_type == MEDIA_TYPE
        yield VerificationCheck(
            name, passed, f"{response.status} {response.content_type} (expected: problem with status {status})"
        )


def _latency(candidate: RevisionResponses, production: RevisionResponses, config: VerifyConfig) -> VerificationCheck:
    bound = config.p95_seconds
    if production.responses:
        bound = min(bound, production.p95 * config.p95_factor + config.p95_slack)
    return VerificationCheck("latency", candidate.p95 <= bound, f"95 % within {candidate.p95:.3f} s (≤ {bound:.3f})")


def _comparison(
    release: Release, other: ServedModel, candidate: RevisionResponses, production: RevisionResponses
) -> Iterator[str]:
    yield f"{'':12} {'candidate':24} production"
    yield f"{'release':12} {release.version:24} {other.version}"
    yield f"{'p95':12} {f'{candidate.p95:.3f} s':24} {production.p95:.3f} s"
    pairs = [(one, two) for one, two in zip(candidate.predictions, production.predictions, strict=True) if one and two]
    if not pairs:
        yield "production returns predictions in another format"
        return
    ages = np.array(
        [abs(one["age"]["years"] - two["age"]["years"]) for one, two in pairs if "age" in one and "age" in two]
    )
    if len(ages):
        yield f"{'age':12} differs by {ages.mean():.1f} years on average, {ages.max()} at most"
    for head in [head for head in CHOICES if all(head in one and head in two for one, two in pairs)]:
        changed = sum(one[head]["label"] != two[head]["label"] for one, two in pairs)
        yield f"{head:12} differs for {changed} of {len(pairs)}"

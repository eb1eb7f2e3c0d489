"""The part of the OpenAPI description for `/summarize`."""

from __future__ import annotations

import copy
from typing import Any

from serving import summaries
from serving.demographics import bands
from serving.heads import AGE
from serving.openapi.schemas import JsonObject, ref
from serving.prediction import PARTS, PROBABILITIES
from serving.release import Release
from serving.request_parsing import JSON_TYPE
from serving.settings import Settings

PATH = "/summarize"
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_YEARS = {"type": "number", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 0}


def add(document: JsonObject, settings: Settings, release: Release) -> None:
    """Complete the description of `/summarize`, whose body is that of `/predict` or earlier answers.

    Args:
        document: the description, with the paths of the route table.
        settings: of this deployment.
        release: the one that is served.
    """
    document["components"]["schemas"] |= _schemas(settings, release)
    operation = document["paths"][PATH]["post"]
    operation["parameters"] += [_bands(), _epsilon()]
    body = copy.deepcopy(document["paths"]["/predict"]["post"]["requestBody"])
    body["description"] += (
        f" Or the `{summaries.PREDICTIONS}` of earlier responses with `{PROBABILITIES}=true`, as JSON: at most "
        f"{summaries.MAX_VALUES:,} values. At least {settings.min_group} faces must count."
    )
    body["content"][JSON_TYPE] = {
        "schema": {"anyOf": [ref("Instances"), ref("EarlierAnswers")]},
        "example": _example(settings, release),
    }
    operation["requestBody"] = body


def _bands() -> JsonObject:
    default = ",".join(band.name for band in bands.DEFAULT)
    return {
        "name": summaries.BANDS,
        "in": "query",
        "description": f"Age bands, such as `0-17,18-24,25+`. Default: `{default}`.",
        "schema": {"type": "string", "pattern": r"^\d+-\d+(,\d+-\d+)*,\d+\+$"},
    }


def _epsilon() -> JsonObject:
    smallest, largest = summaries.EPSILONS
    return {
        "name": summaries.EPSILON,
        "in": "query",
        "description": "Add noise to the counts, so that the response is differentially private with this epsilon. It "
        f"then has shares only, for the default bands. Not with `{summaries.BANDS}`.",
        "schema": {"type": "number", "minimum": smallest, "maximum": largest},
    }


def _schemas(settings: Settings, release: Release) -> JsonObject:
    heads = [head for head in settings.heads if head in release.labels]
    groups = {"type": "object", "additionalProperties": ref("Share")}
    labels = {head: _object("", **dict.fromkeys(release.labels[head], ref("Share"))) for head in heads}
    age = _object(
        "Ages in years, and the shares of the age bands.",
        mean=ref("Years"),
        median=ref("Years"),
        bands=groups,
        pyramid={
            "type": "object",
            "description": f"Age bands by {heads[0] if heads else 'label'}. All shares of the pyramid add up to 1.",
            "additionalProperties": groups,
        },
    )
    fit = _object(
        "How well shares explain the answers. A poor fit means images of another kind than the release was tested on.",
        distance=_SHARE | {"description": "Share of the answers that no shares explain."},
        probability=_SHARE | {"description": "How often chance alone explains as much."},
        poor={"type": "boolean", "description": "Whether the correction is not to be trusted."},
    )
    reasons = {
        "failed": "Images with an error.",
        "without_face": "Images without a face.",
        "warned": "Faces with a warning.",
    }
    return {
        "EarlierAnswers": _object(
            "Answers of this release.",
            predictions={"type": "array", "minItems": 1, "items": {"type": "object"}},
            model={
                "type": "object",
                "description": "As the responses have it: answers of another release are refused.",
            },
        )
        | {"required": ["predictions"]},
        "Share": _figure(_SHARE) | {"description": f"A share of the people. null: fewer than {settings.min_group}."},
        "Years": _figure(_YEARS),
        "Demographics": _object(
            "Shares and ages with 95 % intervals, corrected for the release's errors. `counted` is what the answers "
            "alone give. A person in several images counts several times.",
            # Earlier answers may have fewer heads than this deployment.
            summary=_object("", faces=_COUNT, **labels, **{AGE: age | {"required": ["bands"]}}, fit=fit)
            | {"required": ["faces", AGE]},
            epsilon={"type": "number", "description": "Of the noise, if it was asked for."},
            not_counted=_object("", **{name: _COUNT | {"description": text} for name, text in reasons.items()}),
            min_group=_COUNT | {"description": "People in the smallest group that is shown."},
            model=ref("Model"),
        )
        # With noise there are shares only.
        | {"required": ["summary", "min_group", "model"]},
    }


def _figure(kind: JsonObject) -> JsonObject:
    figure = _object("", value=kind, low=kind, high=kind, counted=kind)
    return {"anyOf": [figure, {"type": "null"}]} if kind is _SHARE else figure


def _example(settings: Settings, release: Release) -> JsonObject:
    face: dict[str, Any] = {AGE: {"years": 26, "low": 21, "high": 28}}
    probabilities: dict[str, list[int]] = {AGE: [24, *[PARTS // 5] * 5]}
    for head in settings.heads:
        if head in release.labels:
            names = release.labels[head]
            face[head] = {"label": names[-1], "probability": 0.9}
            rest = PARTS // 10 // (len(names) - 1)
            probabilities[head] = [*[rest] * (len(names) - 1), PARTS - rest * (len(names) - 1)]
    return {summaries.PREDICTIONS: [face | {PROBABILITIES: probabilities}] * settings.min_group}


def _object(description: str, /, **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }

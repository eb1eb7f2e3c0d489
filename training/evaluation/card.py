"""The model card: what the model is, whom it measures how well, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from serving.heads import labels
from training.config import EvaluateConfig
from training.evaluation.report import TITLES
from training.templating import render

# Goes into every manifest, so that it travels with the model.
INTENDED_USE = {
    "purpose": (
        "Aggregate statistics over consenting people and research on such models, from images that show one "
        "aligned, cropped face each."
    ),
    "out_of_scope": [
        "to decide about a person: access, employment, credit, insurance, policing, border control",
        "to verify anybody's age where the law asks for it",
        "to infer ethnicity from faces in the European Union and wherever else the law bans it "
        "(Regulation (EU) 2024/1689, Article 5(1)(g)); that answer is off unless a deployment turns it on",
        "on people who did not agree to it",
    ],
    "data_terms": (
        "Weights trained on UTKFace inherit its terms: non-commercial research only, and the copyright of each image "
        "stays with its owner. A trunk started from HSE-FaceRes goes back to VGGFace2 and IMDB-WIKI, which are for "
        "research only too; one from EfficientNet-Lite0's ImageNet weights uses those under the Apache License 2.0. "
        "For any other use, train on your own faces and start from weights whose terms allow it. The release holds no "
        "image."
    ),
}


def render_card(manifest: dict[str, Any], measured: dict[str, Any]) -> str:
    """The card as Markdown, from a manifest and the metrics of `metrics.measure`."""
    groups = [("all", measured["overall"]), ("13 and older", measured["from_13_years"]), *_named(manifest, measured)]
    # Older metrics, the bundled release's among them, do not tell how they were measured.
    confidence = measured.get("config", asdict(EvaluateConfig()))["confidence"]
    return render(
        "card.md",
        manifest=manifest,
        measured=measured,
        groups=groups,
        titles=TITLES,
        labels=labels(manifest),
        confidence=confidence,
    )


def _named(manifest: dict[str, Any], measured: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for attribute in ("age_band", *labels(manifest)):
        for row in measured[f"by_{attribute}"]:
            yield row[attribute], row

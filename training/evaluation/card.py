"""The model card: metrics, intended use and limits of a release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serving.heads import labels
from training.evaluation import baseline, crowds, tables
from training.evaluation.age_groups import measured_groups
from training.evaluation.metric_table import FALSE_POSITIVES
from training.templating import render

# Part of every manifest.
INTENDED_USE = {
    "purpose": (
        "Aggregate statistics about consenting people, and research on such models, from images that show one "
        "aligned, cropped face each."
    ),
    "out_of_scope": [
        "decisions about a person: access, employment, credit, insurance, policing, border control",
        "age verification that a law requires",
        "inferring ethnicity from faces in the European Union and wherever else the law bans it "
        "(Regulation (EU) 2024/1689, Article 5(1)(g)); ethnicity is off unless a deployment turns it on",
        "people who did not consent",
    ],
    "data_terms": (
        "Weights trained on UTKFace inherit its terms: non-commercial research only, and the copyright of each image "
        "stays with its owner. HSE-FaceRes initial weights derive from VGGFace2 and IMDB-WIKI, which are for research "
        "only too. EfficientNet-Lite0's ImageNet weights are under the Apache License 2.0. For any other use, train on "
        "your own faces and start from weights whose terms allow it. The release contains no image."
    ),
}


def render_card(manifest: dict[str, Any], measured: dict[str, Any]) -> str:
    """Return the card as Markdown, from a manifest and the metrics of `metrics.measure`."""
    return render(
        "card.md",
        manifest=manifest,
        measured=measured,
        rows=[*_with_baseline(measured), *_groups(manifest, measured)],
        too_few=tables.TOO_FEW,
        methods=tables.METHODS,
        interval=tables.interval_title(measured),
        baseline=baseline.sentence(measured),
        specs=tables.shown(measured),
        labelled=tables.labelled(measured),
        false_positives=FALSE_POSITIVES,
        labels=labels(manifest),
        demographics=crowds.sentence(measured),
    )


def _with_baseline(measured: dict[str, Any]) -> Iterator[tables.Row]:
    ages = ((group.title, group.key) for group in measured_groups(measured))
    for title, group in (("all", "overall"), *ages):
        row = tables.rows(measured, [{**measured[group], "title": title}], ["title"])[0]
        yield row
        constants = [each.baseline for each in tables.beside_baseline(measured, group)]
        cells = tuple(tables.Cell(value, "") for value in constants) if row.cells else ()
        yield tables.Row((f"baseline, {title}",), row.n, cells)


def _groups(manifest: dict[str, Any], measured: dict[str, Any]) -> Iterator[tables.Row]:
    for attribute in ("age_band", *labels(manifest)):
        yield from tables.rows(measured, measured.get(f"by_{attribute}", []), [attribute])

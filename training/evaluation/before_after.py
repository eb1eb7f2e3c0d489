"""What a fine-tuning brought: the initial and the new release on the same faces, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from serving.release import Release, ReleaseError
from serving.request_stats import AGE_BANDS
from training import runs
from training.config import NAMED_WEIGHTS, EvaluateConfig
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluation import champion, comparison
from training.evaluation.champion import Champion
from training.evaluation.comparison import EVERYONE, Difference, Mask
from training.evaluation.samples import ScoredSamples
from training.evaluation.tables import MIN_SHOWN
from training.labels import CHOICES, GENDERS, age_bands, by_head

# In metrics.json.
MEMBER = "before"


def initial(release: Release, trained: Path) -> Champion | None:
    """Return the release whose weights `release` started from; None if it started from other weights.

    One that is missing, or is not the same any more, becomes an obstacle.

    Args:
        release: the new release.
        trained: its training run, which knows the address of the initial release; it may be missing.
    """
    made = release.manifest.get("provenance", {})
    name = made.get("config", {}).get("init_from", "")
    if name in ("", *NAMED_WEIGHTS):
        return None
    known = made.get("trained", {}).get("releases", {}).get(name, {})
    uri = runs.load(trained).config.init_from if runs.exists(trained) else name
    try:
        found = champion.at(uri)
    except (ReleaseError, StepError) as error:
        return Champion(known.get("version", ""), obstacle=f"The initial release {uri} cannot be evaluated: {error}.")
    sha256 = found.predictor.release.sha256 if found.predictor else ""
    if known and known["sha256"] != sha256:
        return Champion(
            known["version"], obstacle=f"{uri} is another release now than the one the training began with."
        )
    return found


def measure(
    version: str, before: ScoredSamples, after: ScoredSamples, heads: set[str], config: EvaluateConfig
) -> dict[str, Any]:
    """Return the section of metrics.json.

    Args:
        version: version of the initial release.
        before: its predictions.
        after: the new release's predictions for the same faces.
        heads: heads that both have.
        config: resampling.
    """
    # A group that has the same faces as an earlier one would repeat its sentences.
    unique: dict[bytes, tuple[str, Mask]] = {}
    for name, mask in _groups(after.labels):
        if mask.any():
            unique.setdefault(mask.tobytes(), (name, mask))
    masks = unique.values()
    shown = [(name, mask) for name, mask in masks if mask.sum() >= MIN_SHOWN]
    return {
        "version": version,
        "faces": len(after.labels),
        "differences": [asdict(row) for row in comparison.compare(before, after, heads, config, shown, MIN_SHOWN)],
        "too_few": [name for name, mask in masks if mask.sum() < MIN_SHOWN],
    }


def words(measured: dict[str, Any]) -> list[str]:
    """Return the sentences of the report; empty for a training that started from no release.

    Args:
        measured: content of metrics.json.
    """
    section = measured.get(MEMBER)
    if section is None:
        return []
    if "obstacle" in section:
        return [section["obstacle"]]
    rows = [Difference(**row) for row in section["differences"]]
    groups = dict.fromkeys(row.group for row in rows)
    confidence = f"{100 * measured['config']['confidence']:.0f} %"
    sentences = [" ".join(_sentences([row for row in rows if row.group == group], confidence)) for group in groups]
    few = [name for name in section["too_few"] if name != EVERYONE]
    if EVERYONE in section["too_few"]:
        faces = section["faces"]
        sentences.append(f"{faces} test faces are too few to tell what changed; {MIN_SHOWN} are needed.")
    elif few:
        sentences.append(f"Too few faces to tell (fewer than {MIN_SHOWN}): {', '.join(few)}.")
    return sentences


def _groups(labels: LabelArray) -> Iterator[tuple[str, Mask]]:
    """Yield names and masks (N,) of all faces, each age band, each label, and each gender in each age band."""
    labelled = by_head(labels)
    bands, genders = age_bands(labels), labelled["gender"]
    yield EVERYONE, np.ones(len(labels), np.bool_)
    yield from ((f"{name} years", bands == b) for b, name in enumerate(AGE_BANDS))
    for head in CHOICES:
        yield from ((name, labelled[head.name] == number) for number, name in enumerate(head.labels))
    for g, gender in enumerate(GENDERS):
        yield from ((f"{gender}, {name} years", (genders == g) & (bands == b)) for b, name in enumerate(AGE_BANDS))


def _sentences(rows: list[Difference], confidence: str) -> Iterator[str]:
    """Yield a sentence for each metric of one group that changed, and one for all that did not."""
    group, n = rows[0].group, rows[0].n
    place = f"On your {n} test faces " if group == EVERYONE else f"{group} ({n} faces): "
    changed = [row for row in rows if row.low > 0 or row.high < 0]
    for row in changed:
        better = (row.difference < 0) == (row.spec.worse_sign > 0)
        yield _capital(
            f"{place}{row.spec.title} went from {row.spec.text(row.champion)} to {row.spec.text(row.challenger)}, "
            f"which is {'better' if better else 'worse'} ({confidence} interval of the difference: "
            f"{row.spec.interval(row.low, row.high)})."
        )
        place = ""
    same = [
        f"{row.spec.title} ({row.spec.text(row.champion)} before, {row.spec.text(row.challenger)} after, interval "
        f"{row.spec.number(row.low, '+')} to {row.spec.number(row.high, '+')})"
        for row in rows
        if row not in changed
    ]
    if same:
        yield _capital(f"{place}{', '.join(same)} did not change measurably.")


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]

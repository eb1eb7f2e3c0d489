"""Whom a challenger is measured against, and what stands in the way of a fair comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.heads import AGE
from serving.predictor import Predictor
from serving.release import Release, ReleaseError
from training.data.shards import Fingerprint
from training.errors import StepError
from training.labels import missing
from training.registry import releases
from training.registry.registry import Registry
from training.registry.releases import StoredRelease
from training.registry.signing import Trust


@dataclass(frozen=True)
class Champion:
    """What came of looking for the release that the challenger would replace."""

    # "" where there is none
    version: str = ""
    # None where there is none, or where today's code cannot run it
    predictor: Predictor | None = None
    # why it cannot be compared with; "" where it can, or where there is none
    obstacle: str = ""
    notes: tuple[str, ...] = ()


NOBODY = Champion(notes=("It was compared with no other release: `evaluate --registry` names the one in production.",))


def named(uri: str, trust: Trust | None = None) -> Champion:
    """Return the release in a folder or at a gs:// address.

    Raises:
        StepError: there is none that can be run, or it is not as it was published.
    """
    try:
        return _champion(releases.read(uri, trust))
    except (ReleaseError, StepError) as error:
        raise StepError(f"{error} (--champion names a release's folder or gs:// address)") from error


def in_production(registry: Registry, trust: Trust | None = None, first_release: bool = False) -> Champion:
    """Return a registry's production release. One that today's code cannot run is an obstacle, not an error.

    Args:
        registry: of the releases.
        trust: whose signature the release must have, None for nobody's.
        first_release: whether there is no production release yet, so that only the thresholds count.

    Raises:
        StepError: the registry cannot be read, the release is not as it was published, or `first_release` is wrong.
    """
    pointer = registry.production()
    if first_release:
        if pointer:
            raise StepError(f"{registry.uri} has {pointer.version} in production; leave --first-release out")
        return Champion(notes=(f"{registry.uri} has no production release yet: only the thresholds count.",))
    if pointer is None:
        registry.require()
        raise StepError(
            f"{registry.uri} has no production release to compare with; `promote` one, or use --first-release"
        )
    try:
        return _champion(registry.read(pointer.version, trust))
    except ReleaseError as error:
        return Champion(pointer.version, obstacle=f"Production cannot be scored here: {error}.")


def _champion(found: StoredRelease) -> Champion:
    return Champion(found.version, Predictor(found.served()))


@dataclass(frozen=True)
class Terms:
    """On what terms two releases meet."""

    # heads whose answers are compared
    heads: set[str]
    # why a green comparison would not count; "" where it does
    obstacle: str
    notes: tuple[str, ...]


def terms(champion: Release, challenger: Release, fingerprint: Fingerprint) -> Terms:
    """What may be compared, and what a reader must know of it.

    Args:
        champion: the release that would be replaced.
        challenger: the one that was evaluated.
        fingerprint: of the faces that both are scored on.
    """
    lacking = missing(champion.labels)
    labels = {
        head: (champion.labels[head], challenger.labels[head]) for head in challenger.labels if head not in lacking
    }
    # Answers are compared by name, so that their order may differ.
    differing = {head: sets for head, sets in labels.items() if set(sets[0]) != set(sets[1])}
    notes = [
        f"{head.capitalize()} is not compared, for the champion has no such head. Only the thresholds judge it."
        for head in lacking
    ]
    notes += [
        f"{head.capitalize()} is not compared, for the labels differ: {', '.join(before)} in the champion, "
        f"{', '.join(after)} here. Only the thresholds judge it."
        for head, (before, after) in differing.items()
    ]
    if champion.sha256 == challenger.sha256:
        notes.append("It is the same model file as the champion's.")
    presets = [_stated(found, "preset") for found in (champion, challenger)]
    if presets[0] != presets[1]:
        notes.append(f"The champion was trained as {presets[0]!r}, this one as {presets[1]!r}.")
    notes += [*_data(_stated(champion, "data") or {}, fingerprint), *_reduced(champion, fingerprint)]
    return Terms({AGE, *labels} - set(differing), _enlarged(champion, fingerprint), tuple(notes))


def _data(then: dict[str, Any], now: Fingerprint) -> list[str]:
    if then.get("sha256") == now.sha256:
        return []
    if then.get("faces") == now.faces and then.get("size") != now.size:
        return [
            f"The champion was made from as many faces in each split, prepared with {then['size']} pixels instead of "
            f"{now.size}; a fingerprint holds that size too, so that it cannot tell whether they are the same."
        ]
    before = f"fingerprint {then['sha256'][:8]}" if "sha256" in then else "it does not say which"
    return [
        f"The champion was made from other data ({before}, now {now.sha256[:8]}). A face's split is decided by its "
        "content, so that the champion was not trained on these test faces: except on a few whose look-alikes changed, "
        "or on more if the shares of the splits did. That flatters the champion, never this release; what is new in "
        "the data favours this release, which alone could learn from it."
    ]


def _reduced(champion: Release, faces: Fingerprint) -> list[str]:
    if champion.size >= faces.size:
        return []
    return [f"The champion sees {champion.size} pixels: it got the faces of {faces.size} pixels reduced once more."]


def _enlarged(champion: Release, faces: Fingerprint) -> str:
    if champion.size <= faces.size:
        return ""
    return (
        f"The champion sees {champion.size} pixels and the faces were prepared with {faces.size}, so that it got them "
        "enlarged and blurred, which flatters this release."
    )


def _stated(found: Release, name: str) -> Any:
    """What a manifest says of the making of its model; nothing obliges it to."""
    return found.manifest.get("provenance", {}).get(name)

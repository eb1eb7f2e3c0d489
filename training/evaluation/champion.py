"""The champion: the release that the gate compares the challenger with, and what limits that comparison."""

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
    """The release that the challenger would replace, if there is one."""

    version: str = ""
    """"" if there is none."""
    predictor: Predictor | None = None
    """None if there is none, or if this code cannot run it."""
    obstacle: str = ""
    """Why it cannot be compared; "" if it can, or if there is none."""
    notes: tuple[str, ...] = ()


NONE = Champion(
    notes=(
        "This release was not compared with the production release; `evaluate --registry ADDRESS` compares the two.",
    )
)


def at(uri: str, trust: Trust | None = None) -> Champion:
    """Return the release in a folder or at a gs:// address.

    Raises:
        ReleaseError: this code cannot run it.
        StepError: there is no release, or it is not as published.
    """
    return _champion(releases.read(uri, trust))


def named(uri: str, trust: Trust | None = None) -> Champion:
    """Return the release that the option --champion names.

    Raises:
        StepError: there is no release, this code cannot run it, or it is not as published.
    """
    try:
        return at(uri, trust)
    except (ReleaseError, StepError) as error:
        raise StepError(f"{error} (--champion expects the folder or gs:// address of a release)") from error


def in_production(registry: Registry, trust: Trust | None = None, first_release: bool = False) -> Champion:
    """Return the production release of a registry. One that this code cannot run becomes an obstacle, not an error.

    Args:
        registry: registry of the releases.
        trust: signer that the release must have, or None.
        first_release: whether there is no production release yet, so only the thresholds apply.

    Raises:
        StepError: the registry cannot be read, the release is not as it was published, or `first_release` is wrong.
    """
    pointer = registry.production()
    if first_release:
        if pointer:
            raise StepError(f"{registry.uri} has {pointer.version} in production; leave --first-release out")
        return Champion(notes=(f"{registry.uri} has no production release yet: only the thresholds apply.",))
    if pointer is None:
        registry.require()
        raise StepError(
            f"{registry.uri} has no production release to compare with; `promote` one, or use --first-release"
        )
    try:
        return _champion(registry.read(pointer.version, trust))
    except ReleaseError as error:
        return Champion(pointer.version, obstacle=f"This code cannot run the production release: {error}.")


def _champion(found: StoredRelease) -> Champion:
    return Champion(found.version, Predictor(found.served()))


@dataclass(frozen=True)
class Terms:
    """What can be compared between two releases."""

    heads: set[str]
    """Heads that both releases have, with the same labels."""
    obstacle: str
    """Why the comparison is unfair; "" if it is fair."""
    notes: tuple[str, ...]


def terms(champion: Release, challenger: Release, fingerprint: Fingerprint) -> Terms:
    """Return what can be compared between two releases, and what limits it.

    Args:
        champion: the release that would be replaced.
        challenger: the evaluated release.
        fingerprint: of the data that both are scored on.
    """
    lacking = missing(champion.labels)
    labels = {
        head: (champion.labels[head], challenger.labels[head]) for head in challenger.labels if head not in lacking
    }
    # Labels are compared by name: their order may differ.
    differing = {head: sets for head, sets in labels.items() if set(sets[0]) != set(sets[1])}
    notes = [
        f"{head.capitalize()} is not compared: the champion has no such head. Only the thresholds apply."
        for head in lacking
    ]
    notes += [
        f"{head.capitalize()} is not compared: the labels differ ({', '.join(before)} in the champion, "
        f"{', '.join(after)} in this release). Only the thresholds apply."
        for head, (before, after) in differing.items()
    ]
    notes += [
        f"{head.capitalize()} is not compared: the champion has such a head. This release has none, since no training "
        "face has a label for it."
        for head in champion.labels
        if head not in challenger.labels
    ]
    if champion.sha256 == challenger.sha256:
        notes.append("This release has the same model file as the champion.")
    presets = [_stated(found, "preset") for found in (champion, challenger)]
    if presets[0] != presets[1]:
        notes.append(f"The champion was trained with preset {presets[0]!r}, this release with {presets[1]!r}.")
    notes += [*_data(_stated(champion, "data") or {}, fingerprint), *_reduced(champion, fingerprint)]
    return Terms({AGE, *labels} - set(differing), _enlarged(champion, fingerprint), tuple(notes))


def _data(then: dict[str, Any], now: Fingerprint) -> list[str]:
    if then.get("sha256") == now.sha256:
        return []
    if then.get("faces") == now.faces and then.get("size") != now.size:
        return [
            f"The champion was trained on as many images in each split, prepared at {then['size']} instead of "
            f"{now.size} pixels. The fingerprint includes that size, so it cannot show whether the images are the same."
        ]
    before = f"fingerprint {then['sha256'][:8]}" if "sha256" in then else "its manifest does not say which"
    return [
        f"The champion was trained on other data ({before}, now {now.sha256[:8]}). Splits depend on image content, so "
        "the champion was not trained on these test images, except on a few whose near-duplicates changed, or on more "
        "if the split shares changed. That favours the champion, never this release. New training images favour this "
        "release."
    ]


def _reduced(champion: Release, faces: Fingerprint) -> list[str]:
    if champion.size >= faces.size:
        return []
    return [
        f"The champion's input has {champion.size} pixels: the prepared images of {faces.size} pixels were reduced."
    ]


def _enlarged(champion: Release, faces: Fingerprint) -> str:
    if champion.size <= faces.size:
        return ""
    return (
        f"The champion's input has {champion.size} pixels, but the images were prepared at {faces.size}. Enlarged, "
        "blurred images favour this release: prepare them at the larger size (`prepare --size`)."
    )


def _stated(found: Release, name: str) -> Any:
    """Return a member of the manifest's provenance; it is optional."""
    return found.manifest.get("provenance", {}).get(name)

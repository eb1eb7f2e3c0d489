"""The network's heads, as manifests name them: age, and the classification heads."""

from __future__ import annotations

from typing import Any

AGE = "age"
CHOICES = ("gender", "ethnicity")
"""The classification heads. A release has some or all of them; its manifest lists their labels."""
HEADS = (AGE, *CHOICES)
"""All heads, in the order of a prediction."""

Labels = dict[str, tuple[str, ...]]
"""Labels by head, in the order of the head's outputs."""


def labels(manifest: dict[str, Any]) -> Labels:
    """Return the labels of a manifest's classification heads, in the order of CHOICES.

    Raises:
        KeyError: the manifest has no heads, or a head has no labels.
        ValueError: a classification head has fewer than two labels, or a label twice.
    """
    found = manifest["heads"]
    choices = {head: tuple(map(str, found[head]["labels"])) for head in CHOICES if head in found}
    if few := [head for head, names in choices.items() if len(names) < 2]:
        raise ValueError(f"the labels of {few[0]}, which are fewer than two")
    if odd := [head for head, names in choices.items() if list(dict.fromkeys(names)) != found[head]["labels"]]:
        raise ValueError(f"the labels of {odd[0]}, which are not a list of different texts")
    return choices


def width(names: tuple[str, ...]) -> int:
    """Return the number of outputs of a head with these labels.

    Two labels have one output, the probability of the second (sigmoid). More labels have one output each (softmax).
    """
    return 1 if len(names) == 2 else len(names)

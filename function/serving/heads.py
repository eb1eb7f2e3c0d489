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
    found = {head: manifest["heads"][head]["labels"] for head in CHOICES if head in manifest["heads"]}
    for head, names in found.items():
        # JSON has lists, and a manifest that was not written yet has tuples.
        if not isinstance(names, list | tuple) or len({name for name in names if isinstance(name, str)}) != len(names):
            raise ValueError(f"the labels of {head}, which are not a list of different texts")
        if len(names) < 2:
            raise ValueError(f"the labels of {head}, which are fewer than two")
    return {head: tuple(names) for head, names in found.items()}


def width(names: tuple[str, ...]) -> int:
    """Return the number of outputs of a head with these labels.

    Two labels have one output, the probability of the second (sigmoid). More labels have one output each (softmax).
    """
    return 1 if len(names) == 2 else len(names)

"""The heads of a network, as manifests name them: the age, and choices of one label each."""

from __future__ import annotations

from typing import Any

AGE = "age"
# The heads that choose one of their labels. A release has some of them, or all; its manifest holds their labels.
CHOICES = ("gender", "ethnicity")
# In the order of an answer.
HEADS = (AGE, *CHOICES)

# labels by head, in the order of the outputs
Labels = dict[str, tuple[str, ...]]


def labels(manifest: dict[str, Any]) -> Labels:
    """The choices of the release that a manifest describes, in the order of CHOICES.

    Raises:
        KeyError: the manifest names no heads, or a head has no labels.
        ValueError: a choice has fewer than two labels, or one of them twice.
    """
    found = manifest["heads"]
    choices = {head: tuple(map(str, found[head]["labels"])) for head in CHOICES if head in found}
    if few := [head for head, names in choices.items() if len(names) < 2]:
        raise ValueError(f"the labels of {few[0]}, which are fewer than two")
    if odd := [head for head, names in choices.items() if list(dict.fromkeys(names)) != found[head]["labels"]]:
        raise ValueError(f"the labels of {odd[0]}, which are not a list of different texts")
    return choices


def width(names: tuple[str, ...]) -> int:
    """How many numbers a network answers to choose one of these labels.

    Of two labels, one: the probability of the second (a sigmoid). Of more, one each (a softmax).
    """
    return 1 if len(names) == 2 else len(names)

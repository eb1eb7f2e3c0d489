"""A candidate that passed the gate -> a release in a registry."""

from __future__ import annotations

import json
from pathlib import Path

from serving.release import MANIFEST
from training.card import render_card
from training.errors import StepError
from training.evaluate import load_metrics
from training.gate import require_passed
from training.registry import Registry, release_files

CARD_FILE = "card.md"


def publish(folder: Path, registry: Registry) -> str:
    """Complete the release in `folder` with its figures and its card, publish it and return its address.

    Raises:
        StepError: something is missing, did not pass the gate, or the registry cannot be written.
        ConflictError: the version exists with other contents.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training convert` first")
    manifest = json.loads(path.read_text())
    measured = load_metrics(folder)
    verdict = require_passed(folder, manifest["model"]["sha256"])
    manifest["gate"] = {name: value for name, value in verdict.items() if name != "sha256"}
    manifest["metrics"] = {"faces": measured["faces"], **measured["overall"]}
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    (folder / CARD_FILE).write_text(render_card(manifest, measured))
    return registry.publish(manifest["version"], release_files(folder))

"""A challenger that passed the gate -> a release in a registry."""

from __future__ import annotations

import json
from pathlib import Path

from serving.release import MANIFEST, parse_manifest
from training.errors import StepError
from training.evaluation import metrics
from training.evaluation.card import render_card
from training.evaluation.gate_result import require_passed
from training.files import write_text
from training.registry.registry import Registry, release_files
from training.registry.signatures import SIGNATURE, covers
from training.registry.signing import Signer, sign
from training.registry.storage import Stored

CARD_FILE = "card.md"


def publish(folder: Path, registry: Registry, signer: Signer | None = None) -> str:
    """Complete the release in `folder` with its metrics, its card and a signature, publish it, return its address.

    Args:
        folder: the release.
        registry: where to.
        signer: who signs; nobody leaves it unsigned.

    Raises:
        StepError: something is missing, did not pass the gate, cannot be signed, or the registry cannot be written.
        ConflictError: the version exists with other contents.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training convert` first")
    manifest = parse_manifest(path.read_text(encoding="utf-8"))
    measured = metrics.load(folder)
    result = require_passed(folder, manifest["model"]["sha256"])
    manifest["gate"] = {name: value for name, value in result.items() if name != "sha256"}
    # The bundled release was evaluated before metrics told how they were measured.
    if "config" in measured:
        manifest["provenance"]["evaluate"] = measured["config"]
    manifest["metrics"] = {"faces": measured["faces"], **measured["overall"]}
    write_text(path, json.dumps(manifest, indent=2) + "\n")
    write_text(folder / CARD_FILE, render_card(manifest, measured))
    _sign(folder, registry.storage.read(f"{manifest['version']}/{SIGNATURE}"), signer)
    return registry.publish(manifest["version"], release_files(folder))


def _sign(folder: Path, published: Stored | None, signer: Signer | None) -> None:
    """Every signature is another one, so that of an earlier try is kept where it is one of these files."""
    signature = folder / SIGNATURE
    signature.unlink(missing_ok=True)
    if published and covers(published.data, release_files(folder)):
        signature.write_bytes(published.data)
    elif signer:
        sign(folder, signer)

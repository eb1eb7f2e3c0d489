"""Publish a challenger that passed the gate in a registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from serving.release import MANIFEST
from training.errors import StepError
from training.evaluation import metrics
from training.evaluation.card import render_card
from training.evaluation.gate_result import require_passed
from training.files import write_text
from training.registry import provenance
from training.registry.local import release_files
from training.registry.registry import RELEASE_FILES, Registry, require_version
from training.registry.releases import stated_files, verify_digests
from training.registry.signatures import SIGNATURE, covers
from training.registry.signing import Signer, sign
from training.registry.storage import Stored
from training.sbom import SBOM_FILE
from training.slsa import PROVENANCE_FILE

CARD_FILE = "card.md"


def publish(folder: Path, registry: Registry, signer: Signer | None = None, made_from: str = "") -> str:
    """Complete and sign the release in `folder`, publish it, and return its address.

    What it adds: metrics, model card, provenance and bill of materials, all of them covered by the signature.
    A model that another pipeline has published from the same state is not published again: its address is returned.

    Args:
        folder: of the release.
        registry: where the release is published.
        signer: who signs. None keeps a signature of exactly these files, and leaves another release unsigned.
        made_from: digest of data, code and configuration, "" if it is unknown.

    Raises:
        StepError: a file is missing or damaged, the gate is closed, the release cannot be signed, or the registry or
            `folder` cannot be written.
        ConflictError: the version exists with other contents.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training convert` first")
    files = release_files(folder)
    manifest = verify_digests(f"{folder}", files)
    require_version(manifest["version"])
    if odd := sorted(files.keys() - stated_files(manifest).keys() - set(RELEASE_FILES)):
        raise StepError(f"{folder} has {odd[0]!r}, which is no file of a release; move it away")
    measured = metrics.load(folder)
    result = require_passed(folder, manifest["model"]["sha256"])
    if made_from:
        same = registry.made_from(made_from)
        if same and same["model"]["sha256"] == manifest["model"]["sha256"]:
            return registry.address(same["version"])
        manifest["provenance"]["made_from"] = made_from
    manifest["gate"] = {name: value for name, value in result.items() if name != "sha256"}
    # The metrics of the bundled release do not state how they were measured.
    if "config" in measured:
        manifest["provenance"]["evaluate"] = measured["config"]
    manifest["metrics"] = {"faces": measured["faces"], **measured["overall"]}
    write_text(path, json.dumps(manifest, indent=2) + "\n")
    write_text(folder / CARD_FILE, render_card(manifest, measured))
    _attest(folder, manifest)
    _sign(folder, registry.storage.read(f"{manifest['version']}/{SIGNATURE}"), signer)
    return registry.publish(manifest["version"], release_files(folder))


def _attest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the provenance and the bill of materials of the release, both from its manifest alone."""
    digests = {MANIFEST: hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()}
    # The bundled release leaves out the weights that its manifest names.
    digests |= {name: digest for name, digest in stated_files(manifest).items() if (folder / name).is_file()}
    write_text(folder / PROVENANCE_FILE, provenance.statement(manifest, digests))
    write_text(folder / SBOM_FILE, provenance.bill(manifest))


def _sign(folder: Path, published: Stored | None, signer: Signer | None) -> None:
    """Sign the release, or reuse a signature of the same files: two signatures are never the same.

    That is the published one, or, without a signer, the one in `folder`.
    """
    signature = folder / SIGNATURE
    files = release_files(folder)
    own = None if signer else files.get(SIGNATURE)
    try:
        signature.unlink(missing_ok=True)
        for data in (published.data if published else None, own):
            if data is not None and covers(data, files):
                signature.write_bytes(data)
                return
    except OSError as error:
        raise StepError(f"{signature} cannot be written: {error.strerror}; make {folder} writable") from error
    if signer:
        sign(folder, signer)

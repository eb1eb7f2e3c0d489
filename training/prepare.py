"""Step `prepare`: labelled faces -> index, splits, shards, fingerprint and exploration page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from training.config import PrepareConfig
from training.data import preparation, readers
from training.data.labelling import FileNames, Labelling
from training.data.local_processing import LocalProcessing
from training.data.preparation import Source
from training.data.shards import Fingerprint
from training.progress import progress


def prepare(
    source: Path, folder: Path, config: PrepareConfig, expected: str = "", labelling: Labelling | None = None
) -> Fingerprint:
    """Read every face of `source` once and write the input of later steps into `folder`.

    The files are written beside `folder` and replace it in one move, so an interrupted run keeps the former data.

    Args:
        source: folder or archive of faces.
        folder: output folder.
        config: configuration of the step.
        expected: required fingerprint, or "" for any.
        labelling: where the labels are, or None for the names of the files.

    Raises:
        StepError: the source cannot be read, has too few faces for three splits, or has another fingerprint.
    """
    with preparation.replaced(folder) as unfinished, closing(LocalProcessing(unfinished, config)) as processing:
        files = progress(readers.find(source), "prepare", "face", readers.count(source))
        found = Source(str(source), files, readers.origin(source))
        return preparation.fill(found, processing, unfinished, config, labelling or FileNames(), expected)

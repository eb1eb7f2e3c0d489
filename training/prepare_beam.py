"""Step `prepare` for millions of faces, on Apache Beam: the same result, from and to folders or gs://."""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender import storage
from training.config import PrepareConfig
from training.data import beam_source, coverage, preparation
from training.data.beam_processing import BeamProcessing
from training.data.beam_source import BeamSource
from training.data.labelling import Labelling
from training.data.preparation import FOLDER, Source
from training.data.shards import FINGERPRINT, Fingerprint
from training.errors import StepError

# Concurrent uploads; each is a request.
_UPLOADS = 16


def source(address: str, data: str, options: PipelineOptions) -> BeamSource:
    """List the files of a folder, local or gs://, or of a gs:// pattern.

    Args:
        address: folder or pattern.
        data: output folder, local or gs://.
        options: Beam's pipeline options.

    Raises:
        StepError: there are no files, or the runner's workers cannot see a folder.
    """
    remote = beam_source.in_cloud(address) and beam_source.in_cloud(data)
    if "Dataflow" in options.get_all_options()["runner"] and not remote:
        raise StepError("Dataflow's workers see no folder of this machine; give gs:// addresses for --data and --work")
    FileSystems.set_options(options)
    return BeamSource(address)


def prepare_beam(
    faces: BeamSource, data: str, config: PrepareConfig, expected: str, labelling: Labelling, options: PipelineOptions
) -> tuple[Fingerprint, list[str]]:
    """Write what `prepare` writes of the same files, on the workers of a Beam runner.

    Args:
        faces: files.
        data: output folder, local or gs://.
        config: configuration of the step.
        expected: required fingerprint, or "" for any.
        labelling: where the labels are.
        options: Beam's pipeline options.

    Returns:
        the fingerprint, and the coverage warnings.

    Raises:
        StepError: there are too few faces for three splits, they have another fingerprint, the output folder holds
            other files, or a pipeline failed.
    """
    found = Source(faces.address, faces.files(), faces.origin)
    remote = beam_source.in_cloud(data)
    with _uploaded(data, options) if remote else preparation.replaced(Path(data)) as folder:
        target = data if remote else str(folder)
        with closing(BeamProcessing(f"{data}.parts", target, config, options)) as processing:
            fingerprint = preparation.fill(found, processing, folder, config, labelling, expected)
        return fingerprint, coverage.find(folder)


@contextmanager
def _uploaded(data: str, options: PipelineOptions) -> Iterator[Path]:
    """Yield a local folder whose files are then uploaded to `data`, the fingerprint last."""
    _require_unused(data)
    # What an interrupted run left.
    storage.remove(data, FOLDER.names, options)
    try:
        with tempfile.TemporaryDirectory(prefix="prepare-") as temporary:
            folder = Path(temporary)
            yield folder
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            upload = _uploader(folder, data)
            with ThreadPoolExecutor(_UPLOADS) as pool:
                list(pool.map(upload, (name for name in names if name != FINGERPRINT)))
            upload(FINGERPRINT)
    except BaseException:
        storage.remove(data, FOLDER.names, options)
        raise


def _uploader(folder: Path, data: str) -> Callable[[str], None]:
    def upload(name: str) -> None:
        with (folder / name).open("rb") as file, storage.written(posixpath.join(data, name), data) as uploaded:
            shutil.copyfileobj(file, uploaded)

    return upload


def _require_unused(data: str) -> None:
    names = [path.removeprefix(f"{data}/") for path in storage.list_folder(data)]
    if foreign := [name for name in names if not FOLDER.names.fullmatch(name)]:
        raise StepError(f"{data} holds {foreign[0]!r}, which `prepare` did not write; choose another --work")
    if FINGERPRINT in names:
        raise StepError(
            f"{data} holds prepared faces; choose another --work, or remove it: gcloud storage rm -r {data}"
        )

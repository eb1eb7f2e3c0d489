"""Resumable batches on Apache Beam.

A batch first writes its plan and the paths of each part into `<output>.parts/`. A worker writes the predictions of a
part as one complete file, and skips a part that exists. At the end the parts are merged in the order of the paths and
the folder is removed. After an interruption the same command therefore continues.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from age_gender import answer_files, pipelines, runner, storage, summarize
from age_gender.detection import Detection
from age_gender.image_files import listed
from age_gender.local import LocalPredictor
from age_gender.prediction import Prediction
from age_gender.results import PARQUET, SUFFIXES, Counts, merge
from age_gender.summarize import NotCounted
from age_gender.table import json_line
from serving import addresses, release
from serving.addresses import AddressError
from serving.demographics import bands, confusion
from serving.demographics.confusion import Confusion
from serving.demographics.crowd import Crowd
from serving.release import Release
from serving.settings import BUNDLED_RELEASE, Settings

# Names of the files that a batch writes into its folder of parts.
_PARTS = re.compile(r"plan\.json|inputs\.jsonl|part-\d{6,}\.jsonl|[0-9a-f]{32}\.tmp")
# Concurrent reads of one worker, because cloud storage has a high latency.
_READERS = 16


class BatchError(Exception):
    """The batch cannot run with these arguments; the message says why and what to do."""


class InterruptedBatchError(Exception):
    """The batch did not finish; the message says how to continue."""


@dataclass(frozen=True)
class Statistics:
    """What corrects the demographics of a release's answers."""

    known: Confusion
    version: str


class Counted(NamedTuple):
    """The faces of some parts."""

    crowd: Crowd | None
    """None without a face."""
    missed: NotCounted


@dataclass(frozen=True)
class Job:
    """The output and the settings of a batch; the same on every worker."""

    output: str
    """File of predictions, local or gs://."""
    settings: Settings
    """Settings of the function, with the release."""
    bundled: bool
    """Use the release of this package, wherever a worker has that installed."""
    detect: bool
    """Find the faces of whole images, instead of taking each image as one aligned face."""
    probabilities: bool = False
    """Also write what each estimate was chosen from."""
    summarize: bool = False
    """Also write the demographics of all faces, which need the probabilities."""

    @classmethod
    def of(
        cls, output: str, settings: Settings, *, detect: bool, probabilities: bool = False, summarize: bool = False
    ) -> Job:
        """Return the job for these settings on this machine."""
        bundled = settings.model_uri == str(BUNDLED_RELEASE)
        return cls(output, settings, bundled, detect, probabilities or summarize, summarize)

    @property
    def kind(self) -> type[Prediction] | type[Detection]:
        """What there is to know about one image."""
        return Detection if self.detect else Prediction

    @property
    def parts(self) -> str:
        """Folder of the finished parts."""
        return f"{self.output}.parts"

    @property
    def errors(self) -> str:
        """JSON lines: each image without a prediction, and why."""
        return f"{self.output}.errors.jsonl"

    @property
    def summary(self) -> str:
        """Written last: the plan, and how many predictions and errors there are."""
        return f"{self.output}.summary.json"

    @property
    def demographics(self) -> str:
        """JSON: the demographics, as `age-gender summarize --json` prints them."""
        return f"{self.output}.demographics.json"

    @property
    def plan(self) -> str:
        """JSON: the images, the model, the heads, the limits and how faces are found."""
        return f"{self.parts}/plan.json"

    @property
    def inputs(self) -> str:
        """JSON lines: the number and the paths of each part."""
        return f"{self.parts}/inputs.jsonl"

    def part(self, number: int) -> str:
        """JSON lines: the predictions of one part, in the order of its paths."""
        return f"{self.parts}/part-{number:06}.jsonl"

    def local(self) -> LocalPredictor:
        """Load the release on this machine."""
        return LocalPredictor(self._here, probabilities=self.probabilities)

    def statistics(self) -> Statistics:
        """Load what corrects the demographics.

        Raises:
            ReleaseError: the release has no such statistics.
        """
        loaded = release.load(self._here.model_uri, self._here.pins)
        return Statistics(confusion.parse(loaded.manifest, loaded.labels), loaded.version)

    @property
    def _here(self) -> Settings:
        return replace(self.settings, model_uri=str(BUNDLED_RELEASE)) if self.bundled else self.settings


class PredictPart(beam.DoFn):
    """Predict one part, given its line of `inputs`. Each worker process loads the release once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shared = Shared()

    def setup(self) -> None:
        """Load the release, or take the one that this process has."""
        self._predictor = self._shared.acquire(self._job.local)

    def process(self, line: str) -> Iterator[int]:
        """Write the predictions of a part, unless they exist, and yield its number."""
        number, paths = json.loads(line)
        if not storage.exists(self._job.part(number)):
            lines = [json_line(name, result) + "\n" for name, result in self._results(paths)]
            storage.write(self._job.part(number), "".join(lines).encode(), self._job.parts)
        yield number

    def _results(self, paths: Sequence[str]) -> Iterator[tuple[str, Prediction] | tuple[str, Detection]]:
        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(paths), runner.PORTION):
                some = paths[start : start + runner.PORTION]
                contents = readers.map(runner.reading(storage.read), some)
                if self._job.detect:
                    yield from runner.predict(some, contents, self._predictor.detect, Detection)
                else:
                    yield from runner.predict(some, contents, self._predictor.predict, Prediction)


class CountPart(beam.DoFn):
    """Count the faces of a finished part, given its number."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shared = Shared()

    def setup(self) -> None:
        """Load the release's statistics, or take those that this process has."""
        self._statistics = self._shared.acquire(self._job.statistics)

    def process(self, number: int) -> Iterator[Counted]:
        """Yield the faces of the part."""
        path = self._job.part(number)
        rows = answer_files.of_lines(storage.read(path).splitlines(), path)
        crowds, missed = summarize.count(rows, self._statistics.known, self._statistics.version)
        yield Counted(next(iter(crowds.values()), None), missed)


def _sum(counted: Iterable[Counted]) -> Counted:
    crowd, missed = None, NotCounted()
    for each in counted:
        missed += each.missed
        if each.crowd:
            crowd = crowd + each.crowd if crowd else each.crowd
    return Counted(crowd, missed)


def run(images: str, job: Job, part_size: int, beam_options: Sequence[str]) -> dict[str, Any]:
    """Predict every image of a folder or pattern, or continue an interrupted batch.

    Args:
        images: a folder or a pattern of paths, local or gs://.
        job: the output and the settings.
        part_size: images in one part, the most that an interrupted worker repeats.
        beam_options: Beam's pipeline options, as on a command line.

    Returns:
        the summary.

    Raises:
        BatchError: there is no image, or the output belongs to another batch.
        InterruptedBatchError: storage or the runner failed.
        ReleaseError: the release cannot be read or run.
    """
    _in_cloud(images)
    _check_output(job)
    options = _options(beam_options)
    loaded = job.local().release
    if job.summarize:
        job.statistics()
    # Every worker must have the same release.
    job = replace(job, settings=replace(job.settings, model_sha256=loaded.sha256))
    plan = _plan(images, job, loaded)
    try:
        return _run(plan, job, part_size, options)
    except (BatchError, InterruptedBatchError):
        raise
    except Exception as error:
        raise InterruptedBatchError(
            f"the batch was interrupted: {pipelines.reason(error)}; run the same command again to continue"
        ) from error


def _run(plan: dict[str, Any], job: Job, part_size: int, options: PipelineOptions) -> dict[str, Any]:
    FileSystems.set_options(options)
    if storage.exists(job.summary):
        _compare({**plan, **asdict(Counts())}, job.summary, job)
    else:
        if storage.exists(job.plan):
            _compare(plan, job.plan, job)
        else:
            _begin(plan, job, part_size)
        _work(job, options)
    if not storage.exists(job.summary):
        raise InterruptedBatchError(
            "the runner did not wait for the end of the batch; run the same command later to see its result"
        )
    if storage.exists(job.plan):
        storage.remove(job.parts, _PARTS, options)
    summary: dict[str, Any] = json.loads(storage.read(job.summary))
    return summary


def _in_cloud(address: str) -> bool:
    """Tell whether an address is in Cloud Storage, and refuse what is no address."""
    try:
        return bool(addresses.parse(address).bucket)
    except AddressError as error:
        raise BatchError(str(error)) from error


def _check_output(job: Job) -> None:
    """Refuse names that could not be written at the end."""
    in_cloud = _in_cloud(job.output)
    if not job.output.endswith(SUFFIXES):
        raise BatchError(f"--output is {job.output!r}, but must end in {' or '.join(SUFFIXES)}")
    try:
        job.output.encode()
    except UnicodeEncodeError as error:
        raise BatchError("the name of --output is not UTF-8, which Beam needs; choose another one") from error
    if in_cloud:
        return
    for path in map(Path, (job.output, job.errors, job.summary)):
        try:
            is_folder = stat.S_ISDIR(path.lstat().st_mode)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BatchError(f"cannot write {path}: {error.strerror}; choose another --output") from error
        if is_folder:
            raise BatchError(f"{path} is a folder; choose another --output")
    if Path(job.parts).exists() and not Path(job.parts).is_dir():
        raise BatchError(f"{job.parts} is a file where the batch needs a folder; move it away")


def _options(given: Sequence[str]) -> PipelineOptions:
    try:
        return pipelines.options(given)
    except pipelines.UnknownOptionsError as error:
        raise BatchError(f"unknown to age-gender and to Beam: {error}") from error


def _plan(images: str, job: Job, loaded: Release) -> dict[str, Any]:
    """Return what all runs of one batch have in common."""
    return {
        "images": images,
        "model": {"name": loaded.name, "version": loaded.version, "sha256": loaded.sha256},
        "heads": list(job.settings.heads),
        "limits": job.settings.limits._asdict(),
        "detect": _finding(job.settings) if job.detect else None,
        "probabilities": job.probabilities,
        "demographics": job.summarize,
    }


def _finding(settings: Settings) -> dict[str, Any]:
    """Return what decides which faces are found and listed."""
    from serving.detection import files

    return {
        **files.section(),
        "max_faces": settings.max_faces,
        "min_face_size": settings.min_face_size,
        "min_face_score": settings.min_face_score,
    }


def _compare(plan: dict[str, Any], path: str, job: Job) -> None:
    found = _json(storage.read(path))
    if isinstance(found, dict):
        # A batch of an earlier version took aligned faces only, and wrote neither probabilities nor demographics.
        found = {"detect": None, "probabilities": False, "demographics": False, **found}
    if not isinstance(found, dict) or not plan.keys() <= found.keys():
        raise BatchError(f"{path} is not of a batch; move it away, or choose another --output")
    counts = asdict(Counts())
    other = [
        f"{name} {found[name]!r}, not {plan[name]!r}"
        for name in plan
        if name not in counts and found[name] != plan[name]
    ]
    if other:
        raise BatchError(f"{job.output} belongs to another batch, with {'; '.join(other)}; choose another --output")


def _begin(plan: dict[str, Any], job: Job, part_size: int) -> None:
    for path in (job.output, job.errors, *((job.demographics,) if job.summarize else ())):
        if storage.exists(path):
            raise BatchError(f"{path} exists and is not of this batch; move it away, or choose another --output")
    for path in storage.list_folder(job.parts):
        # A batch that was killed before its plan has written its inputs at most.
        if _is_foreign(path, job):
            raise BatchError(f"{path} is not of this batch; move it away, or choose another --output")
    found = storage.find(plan["images"])
    if not found.names:
        passed_over = f" (passed over: {listed(found.passed_over)})" if found.passed_over else ""
        raise BatchError(f"{plan['images']}: no image there{passed_over}")
    parts = [found.names[start : start + part_size] for start in range(0, len(found.names), part_size)]
    lines = [json.dumps([number, part]) + "\n" for number, part in enumerate(parts)]
    whole_plan = {**plan, "passed_over": found.passed_over}
    try:
        storage.write(job.inputs, "".join(lines).encode(), job.parts)
        storage.write(job.plan, json.dumps(whole_plan, indent=2).encode(), job.parts)
    except Exception as error:
        raise InterruptedBatchError(
            f"cannot write to {job.parts}: {pipelines.reason(error)}; check --output"
        ) from error


def _is_foreign(path: str, job: Job) -> bool:
    """Tell whether a file in the way has the name of one of the batch's files, and another content."""
    name = path.removeprefix(job.parts).lstrip("/")
    if name == "inputs.jsonl":
        match _json(storage.read(path).partition(b"\n")[0]):
            case [0, [*_]]:
                return False
        return True
    return name.startswith("part-") and _PARTS.fullmatch(name) is not None


def _json(text: bytes) -> Any:
    """Return the value of a JSON text, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _work(job: Job, options: PipelineOptions) -> None:
    with beam.Pipeline(options=options) as pipeline:
        done = pipelines.lines(pipeline, job.inputs) | "Predict" >> beam.ParDo(PredictPart(job))
        # The count waits for the last part.
        parts = done | "Count" >> beam.combiners.Count.Globally()
        if job.summarize:
            counted = done | "Faces" >> beam.ParDo(CountPart(job)) | "Crowd" >> beam.CombineGlobally(_sum)
            parts = parts | "Demographics" >> beam.Map(_summarize, beam.pvalue.AsSingleton(counted), job)
        _ = parts | "Finish" >> beam.Map(_finish, job)


def _summarize(parts: int, counted: Counted, job: Job) -> int:
    """Write the demographics, and return the number of parts."""
    statistics = job.statistics()
    found: dict[str, Any] = {"release": statistics.version, "faces": 0, "not_counted": counted.missed.as_json()}
    if counted.crowd:
        found = summarize.result(
            {(): counted.crowd}, counted.missed, statistics.known, statistics.version, bands.DEFAULT
        ).as_json()
    storage.write(job.demographics, json.dumps(found, indent=2).encode(), job.parts)
    return parts


def _finish(parts: int, job: Job) -> None:
    heads = job.settings.heads if job.output.endswith(PARQUET) else None
    lines = (line for number in range(parts) for line in storage.read(job.part(number)).splitlines(keepends=True))
    with storage.written(job.errors, job.parts) as errors, storage.written(job.output, job.parts) as predictions:
        counts = merge(lines, predictions, errors, heads, job.kind, probabilities=job.probabilities)
    summary = {**json.loads(storage.read(job.plan)), **asdict(counts)}
    storage.write(job.summary, json.dumps(summary, indent=2).encode(), job.parts)

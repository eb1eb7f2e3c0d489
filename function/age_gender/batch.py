"""Very many images, on Apache Beam: parts that are done stay done.

What is asked is written down first, in `<output>.parts/`: the plan, and the paths of each part. A worker writes the
answers of a part as one file, whole or not at all, and passes over a part that is there. When all are there, they
become one file in the order of the paths, and the folder goes. So the same command takes up a run that was broken off.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from age_gender import runner, storage
from age_gender.local import LocalPredictor
from age_gender.prediction import Prediction
from age_gender.results import SUFFIXES, merge
from age_gender.table import json_line
from serving.release import Release
from serving.settings import BUNDLED_RELEASE, Settings

# What a batch writes into its folder of parts.
_PARTS = re.compile(r"plan\.json|inputs\.jsonl|part-\d{6,}\.jsonl|[0-9a-f]{32}\.tmp")
# Files that one worker reads at once: cloud storage takes its time for each.
_READERS = 16
# Beam's direct runner by its own name, since by the usual one it would fetch another program first; on all cores, with
# threads: decoding and the model leave Python alone, and one process loads one model.
_HERE = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=multi_threading",
    f"--direct_num_workers={os.cpu_count() or 1}",
)


class BatchError(Exception):
    """The batch cannot be run as it is asked for; the message says why and what can be done."""


class BrokenOffError(Exception):
    """The batch ended before its time; the message says how it goes on."""


@dataclass(frozen=True)
class Job:
    """Where a batch writes, and with what it answers; the same on every worker."""

    output: str
    settings: Settings
    # the release that comes with this package, wherever a worker has that
    bundled: bool

    @classmethod
    def of(cls, output: str, settings: Settings) -> Job:
        """The batch that `settings` describe here."""
        return cls(output, settings, settings.model_uri == str(BUNDLED_RELEASE))

    @property
    def parts(self) -> str:
        """The folder of what is done so far."""
        return f"{self.output}.parts"

    @property
    def errors(self) -> str:
        """JSON lines: each file that was not answered, and why."""
        return f"{self.output}.errors.jsonl"

    @property
    def summary(self) -> str:
        """Written last: what was asked, which model answered, and how many."""
        return f"{self.output}.summary.json"

    @property
    def plan(self) -> str:
        """What is asked."""
        return f"{self.parts}/plan.json"

    @property
    def inputs(self) -> str:
        """One line a part: its number and its paths."""
        return f"{self.parts}/inputs.jsonl"

    def part(self, number: int) -> str:
        """JSON lines, one a path, in their order."""
        return f"{self.parts}/part-{number:06}.jsonl"

    def local(self) -> LocalPredictor:
        """The release, loaded on this machine."""
        return LocalPredictor(replace(self.settings, model_uri=str(BUNDLED_RELEASE)) if self.bundled else self.settings)


class PredictPart(beam.DoFn):
    """One part's line of `inputs` -> its file of answers; the release is loaded once in each worker process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shared = Shared()

    def setup(self) -> None:
        """Load the release, or take the one that this process has."""
        self._source = self._shared.acquire(self._job.local)

    def process(self, line: str) -> Iterator[int]:
        """Answer what is not answered yet."""
        number, paths = json.loads(line)
        if not storage.exists(self._job.part(number)):
            lines = [json_line(name, prediction) + "\n" for name, prediction in self._predictions(paths)]
            storage.write(self._job.part(number), "".join(lines).encode(), self._job.parts)
        yield number

    def _predictions(self, paths: Sequence[str]) -> Iterator[tuple[str, Prediction]]:
        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(paths), runner.TOGETHER):
                some = paths[start : start + runner.TOGETHER]
                yield from runner.predict(some, readers.map(runner.reading(storage.read), some), self._source)


def run(images: str, job: Job, part_size: int, beam_options: Sequence[str]) -> dict[str, Any]:
    """Answer every image of a folder or pattern; goes on with a batch that was broken off.

    Args:
        images: a folder, or a pattern of paths, local or gs://.
        job: what answers, and where to.
        part_size: images of one part, which is what a broken-off worker repeats at most.
        beam_options: Beam's own pipeline options, as on a command line.

    Returns:
        the summary.

    Raises:
        BatchError: nothing is found, or the output belongs to another batch.
        BrokenOffError: storage or the runner failed.
        ReleaseError: the release cannot be read or run.
    """
    if not job.output.endswith(SUFFIXES):
        raise BatchError(f"--output is {job.output!r}; its name must end in {' or '.join(SUFFIXES)}")
    options = _options(beam_options)
    release = job.local().release
    # Every worker must have what was found here.
    job = replace(job, settings=replace(job.settings, model_sha256=release.sha256))
    plan = _plan(images, job, release)
    try:
        return _run(plan, job, part_size, options)
    except (BatchError, BrokenOffError):
        raise
    except Exception as error:
        # Runners and storage have errors of many types, some with a whole traceback of another machine in their text.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise BrokenOffError(f"the batch broke off: {reason}; the same command takes it up") from error


def _run(plan: dict[str, Any], job: Job, part_size: int, options: PipelineOptions) -> dict[str, Any]:
    FileSystems.set_options(options)
    if storage.exists(job.summary):
        _compare(plan, job.summary, job)
    else:
        if storage.exists(job.plan):
            _compare(plan, job.plan, job)
        else:
            _begin(plan, job, part_size)
        _work(job, options)
    if not storage.exists(job.summary):
        raise BrokenOffError("the runner did not wait for the end of the batch; the same command tells how it went")
    if storage.exists(job.plan):
        storage.remove(job.parts, _PARTS, options)
    summary: dict[str, Any] = json.loads(storage.read(job.summary))
    return summary


def _options(given: Sequence[str]) -> PipelineOptions:
    options = PipelineOptions([*_HERE, *given])
    unknown = options.get_all_options(retain_unknown_options=True).keys() - options.get_all_options().keys()
    if unknown:
        raise BatchError(f"neither age-gender nor Beam knows {', '.join(f'--{name}' for name in sorted(unknown))}")
    return options


def _plan(images: str, job: Job, release: Release) -> dict[str, Any]:
    """What two runs must have in common for their answers to be of one batch."""
    return {
        "images": images,
        "model": {"name": release.name, "version": release.version, "sha256": release.sha256},
        "heads": list(job.settings.heads),
        "limits": job.settings.limits._asdict(),
    }


def _compare(plan: dict[str, Any], path: str, job: Job) -> None:
    found = json.loads(storage.read(path))
    other = [f"{name} {found.get(name)!r}, not {plan[name]!r}" for name in plan if found.get(name) != plan[name]]
    if other:
        raise BatchError(f"{job.output} belongs to another batch, with {'; '.join(other)}; name another --output")


def _begin(plan: dict[str, Any], job: Job, part_size: int) -> None:
    for path in (job.output, job.errors):
        if storage.exists(path):
            raise BatchError(f"{path} is there and is no answer of this batch; move it away, or name another --output")
    paths = storage.find(plan["images"])
    if not paths:
        raise BatchError(f"{plan['images']}: no image there")
    parts = [paths[start : start + part_size] for start in range(0, len(paths), part_size)]
    lines = [json.dumps([number, part]) + "\n" for number, part in enumerate(parts)]
    storage.write(job.inputs, "".join(lines).encode(), job.parts)
    storage.write(job.plan, json.dumps(plan, indent=2).encode(), job.parts)


def _work(job: Job, options: PipelineOptions) -> None:
    with beam.Pipeline(options=options) as pipeline:
        done = (
            pipeline
            | "Parts" >> beam.io.ReadFromText(job.inputs)
            | "Spread" >> beam.Reshuffle()
            | "Answer" >> beam.ParDo(PredictPart(job))
        )
        # Counting waits for the last one.
        _ = done | "Count" >> beam.combiners.Count.Globally() | "Finish" >> beam.Map(_finish, job)


def _finish(parts: int, job: Job) -> None:
    heads = job.settings.heads if job.output.endswith(".parquet") else None
    lines = (line for number in range(parts) for line in storage.read(job.part(number)).splitlines(keepends=True))
    with storage.written(job.errors, job.parts) as errors, storage.written(job.output, job.parts) as predictions:
        counts = merge(lines, predictions, errors, heads)
    summary = {**json.loads(storage.read(job.plan)), **asdict(counts)}
    storage.write(job.summary, json.dumps(summary, indent=2).encode(), job.parts)

"""Apache Beam's options and the start of a pipeline, for `age-gender batch` and `python -m training prepare-beam`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender import storage

# Beam's direct runner under its full name, because the short name first downloads another program. Threads use all
# cores: decoding and the model release Python's lock, and one process loads the model once.
_LOCAL_RUNNER = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=multi_threading",
    f"--direct_num_workers={os.cpu_count() or 1}",
)


class UnknownOptionsError(Exception):
    """Beam does not know these options."""


def options(given: Sequence[str]) -> PipelineOptions:
    """Return Beam's options, as on a command line. Beam's direct runner is the default.

    Raises:
        UnknownOptionsError: Beam does not know some.
    """
    found = PipelineOptions([*_LOCAL_RUNNER, *given])
    unknown = found.get_all_options(retain_unknown_options=True).keys() - found.get_all_options().keys()
    if unknown:
        raise UnknownOptionsError(", ".join(f"--{name}" for name in sorted(unknown)))
    return found


def lines(pipeline: beam.Pipeline, path: str) -> Any:
    """Return the lines of a file, spread over the workers."""
    return (
        pipeline
        | "Inputs" >> beam.Create([path])
        # Beam's own source of text would take the path as a pattern.
        | "Parts" >> beam.FlatMap(storage.lines)
        | "Spread" >> beam.Reshuffle()
    )


def reason(error: Exception) -> str:
    """Return the reason why a pipeline failed."""
    # Runners and storage have errors of many types. Some hold the traceback of another machine in their text.
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]

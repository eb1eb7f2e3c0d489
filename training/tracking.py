"""What an MLflow server is told of a training, from its parameters to its release; nobody where none is named.

MLFLOW_TRACKING_URI names the server, or a GitLab project, which answers as one. Images of faces never go there.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from serving.release import MANIFEST, parse_manifest
from training.data import shards
from training.errors import StepError
from training.files import write_text
from training.runs import TrainingRun

_FILE = "tracking.json"
# Not the name of the releases: on GitLab, a model and an experiment cannot share one.
_EXPERIMENT = "age-gender-detection-training"
# characters of a parameter's value; GitLab's limit, MLflow's is higher
_LONGEST = 250
# MLflow's own would let a server that is gone hold up each epoch for minutes, and tell its makers of every call.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_P = ParamSpec("_P")


def _spared(tell: Callable[Concatenate[Tracker, _P], None]) -> Callable[Concatenate[Tracker, _P], None]:
    """`tell`, silent without a run, and a warning where it fails: hours of training are worth more than their log."""

    @wraps(tell)
    def spared(tracker: Tracker, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if not tracker.run_id:
            return
        try:
            tell(tracker, *args, **kwargs)
        except Exception as error:
            print(
                f"warning: MLflow was not told of the {tell.__name__.strip('_')}: {_reason(error)}",
                file=sys.stderr,
                flush=True,
            )

    return spared


@dataclass
class Tracker:
    """The MLflow run of a training, RUNNING while it is entered; without a `run_id`, nobody is told anything."""

    # of the training; the run is remembered there
    folder: Path
    run_id: str = ""
    # the last one (from 1) that the server knows of
    epoch: int = 0

    @cached_property
    def client(self) -> Any:
        """MLflow's client for MLFLOW_TRACKING_URI."""
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        return MlflowClient()

    def __enter__(self) -> Tracker:
        if self.run_id:
            self._remember()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end("FAILED" if kind else "FINISHED")

    @_spared
    def epochs(self, rows: list[dict[str, float]]) -> None:
        """Tell of all epochs that the server does not know: those that it was not there for follow with the next."""
        for row in rows:
            if row["epoch"] > self.epoch:
                self._log(row, step=int(row["epoch"]))
                self.epoch = int(row["epoch"])
                self._remember()

    @_spared
    def evaluation(self, overall: dict[str, Any], files: list[Path]) -> None:
        """Tell of the metrics of the test faces and keep the files that hold the others."""
        self._log({f"test_{name}": metric["value"] for name, metric in overall.items() if name != "n"}, step=self.epoch)
        self._keep(self.run_id, files)

    @_spared
    def release(self, folder: Path, address: str) -> None:
        """Register what was published from `folder` as a version of its model, and keep its files."""
        manifest = parse_manifest((folder / MANIFEST).read_text())
        version = self._version(manifest["name"], manifest["version"], address)
        # GitLab's versions are runs of their own, MLflow's belong to the run that they are made from.
        self._keep(version.run_id or self.run_id, sorted(path for path in folder.iterdir() if path.is_file()))

    @_spared
    def _end(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)

    def _version(self, name: str, version: str, address: str) -> Any:
        """The model's version, whose alias is the release's; made where there is none yet."""
        from mlflow import MlflowException

        gitlab = "/api/v4/projects/" in os.environ["MLFLOW_TRACKING_URI"]
        alias = semantic(version) if gitlab else version
        with suppress(MlflowException):
            return self.client.get_model_version_by_alias(name, alias)
        with suppress(MlflowException):  # it exists; what else may be wrong is said of its version
            self.client.create_registered_model(name)
        tags = {"version": version, "address": address, "run": self.run_id}
        if gitlab:
            tags["gitlab.version"] = alias
            return self.client.create_model_version(name, address, tags=tags, await_creation_for=None)
        source = self.client.get_run(self.run_id).info.artifact_uri
        made = self.client.create_model_version(name, source, self.run_id, tags, await_creation_for=None)
        self.client.set_registered_model_alias(name, alias, made.version)
        return made

    def _log(self, metrics: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(name, value, now, step) for name, value in metrics.items()])

    def _keep(self, run_id: str, files: list[Path]) -> None:
        # Side by side: GitLab knows no folders.
        for path in files:
            self.client.log_artifact(run_id, str(path))

    def _remember(self) -> None:
        write_text(self.folder / _FILE, json.dumps({"run_id": self.run_id, "epoch": self.epoch}) + "\n")


def begin(folder: Path, run: TrainingRun, data: Path, resume: bool) -> Tracker:
    """The tracker of a training: with the run that `folder` remembers, to `resume` it, or a new one.

    A new run gets the parameters, the data's fingerprint and the plots of `prepare`. Nothing is written to `folder`.

    Raises:
        StepError: the server cannot be reached, or refuses.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return Tracker(folder)
    tracker = of(folder) if resume and (folder / _FILE).is_file() else Tracker(folder)
    try:
        if tracker.run_id:
            tracker.client.update_run(tracker.run_id, "RUNNING")
        else:
            _create(tracker, run, data)
    except Exception as error:
        another = f", remove {folder / _FILE} to begin another run" if tracker.run_id else ""
        raise StepError(
            f"MLFLOW_TRACKING_URI is {_public(uri)}, and nothing can be logged there: {_reason(error)}; mend the "
            f"server, the address or MLFLOW_TRACKING_TOKEN{another}, or unset MLFLOW_TRACKING_URI to train untracked"
        ) from error
    return tracker


def of(folder: Path) -> Tracker:
    """The tracker of what was trained in `folder`, for the steps after; they are told nothing of a silent one."""
    path = folder / _FILE
    if not os.environ.get("MLFLOW_TRACKING_URI") or not path.is_file():
        return Tracker(folder)
    return Tracker(folder, **json.loads(path.read_text()))


def semantic(version: str) -> str:
    """A release's version as GitLab wants a model's: 20261124-613b1f22 -> 20261124.0.0-sha-613b1f22."""
    date, digest = version.split("-")
    return f"{date}.0.0-sha-{digest}"


def _create(tracker: Tracker, run: TrainingRun, data: Path) -> None:
    from mlflow.entities import Param

    from training.git import commit

    client = tracker.client
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    number = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT)
    tags = {"mlflow.source.git.commit": commit(), "gitlab.CI_JOB_ID": os.environ.get("CI_JOB_ID", "")}
    named = {name: value for name, value in tags.items() if value}
    run_id = client.create_run(number, run_name=f"{run.preset} {run.data[:8]}", tags=named).info.run_id
    stated = asdict(run) | {"data": asdict(shards.fingerprint(data))}
    client.log_batch(run_id, params=[Param(name, value[:_LONGEST]) for name, value in _flat(stated) if value])
    exploration = data / "exploration"
    tracker._keep(run_id, [*sorted(exploration.glob("*.png")), *exploration.glob("index.html")])
    tracker.run_id = run_id


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """{"a": {"b": 1}} -> ("a.b", "1")."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _reason(error: Exception) -> str:
    return _public(next(iter(str(error).splitlines()), "") or type(error).__name__)


def _public(text: str) -> str:
    """Without the passwords of addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)

"""MLflow tracking of a training, from its parameters to its release.

MLFLOW_TRACKING_URI names an MLflow server, or a GitLab project, which has the same API. Without it nothing is logged.
Images of faces are never logged.
"""

from __future__ import annotations

import json
import math
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
# Differs from the name of the releases, because on GitLab a model and an experiment cannot share a name.
_EXPERIMENT = "age-gender-detection-training"
# Longest value of a parameter in characters: GitLab's limit. MLflow's is higher.
_LONGEST = 250
# With MLflow's defaults, a dead server delays each epoch by minutes, and every call is reported to MLflow's developers.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_P = ParamSpec("_P")


def _optional(log: Callable[Concatenate[Tracker, _P], None]) -> Callable[Concatenate[Tracker, _P], None]:
    """Wrap `log` so that it does nothing without a run, and that a failure is a warning: training goes on."""

    @wraps(log)
    def wrapper(tracker: Tracker, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if not tracker.run_id:
            return
        try:
            log(tracker, *args, **kwargs)
        except Exception as error:
            print(
                f"warning: could not log the {log.__name__.strip('_')} to MLflow: {_reason(error)}",
                file=sys.stderr,
                flush=True,
            )

    return wrapper


@dataclass
class Tracker:
    """The MLflow run of a training, which is RUNNING inside the context. Without a `run_id` nothing is logged."""

    folder: Path
    """Folder of the training, where the run's id is stored."""
    run_id: str = ""
    """MLflow's id of the run, or ""."""
    epoch: int = 0
    """Last epoch (from 1) that was logged."""

    @cached_property
    def client(self) -> Any:
        """MLflow's client for MLFLOW_TRACKING_URI, made on first use."""
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

    @_optional
    def epochs(self, rows: list[dict[str, float]]) -> None:
        """Log all epochs that the server does not have yet, including those of an earlier outage."""
        for row in rows:
            if row["epoch"] > self.epoch:
                self._log(row, step=int(row["epoch"]))
                self.epoch = int(row["epoch"])
                self._remember()

    @_optional
    def evaluation(self, overall: dict[str, Any], files: list[Path]) -> None:
        """Log the metrics on the test faces, and `files` as artifacts."""
        self._log({f"test_{name}": metric["value"] for name, metric in overall.items() if name != "n"}, step=self.epoch)
        self._keep(self.run_id, files)

    @_optional
    def release(self, folder: Path, address: str) -> None:
        """Register the release published from `folder` as a version of its model, and its files as artifacts."""
        manifest = parse_manifest((folder / MANIFEST).read_text(encoding="utf-8"))
        version = self._version(manifest["name"], manifest["version"], address)
        # On GitLab a version is a run of its own. On MLflow it belongs to the training's run.
        self._keep(version.run_id or self.run_id, sorted(path for path in folder.iterdir() if path.is_file()))

    @_optional
    def _end(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)

    def _version(self, name: str, version: str, address: str) -> Any:
        """Return the model version with the release's version as its alias. Create it if needed."""
        from mlflow import MlflowException

        gitlab = "/api/v4/projects/" in os.environ["MLFLOW_TRACKING_URI"]
        alias = semantic(version) if gitlab else version
        with suppress(MlflowException):
            return self.client.get_model_version_by_alias(name, alias)
        with suppress(MlflowException):  # It may exist. Every other error also fails the next call.
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
        # A metric without labelled faces is NaN, which GitLab refuses.
        known = {name: value for name, value in metrics.items() if not math.isnan(value)}
        self.client.log_batch(self.run_id, [Metric(name, value, now, step) for name, value in known.items()])

    def _keep(self, run_id: str, files: list[Path]) -> None:
        # In one folder, because GitLab has no nested ones.
        for path in files:
            self.client.log_artifact(run_id, str(path))

    def _remember(self) -> None:
        write_text(self.folder / _FILE, json.dumps({"run_id": self.run_id, "epoch": self.epoch}) + "\n")


def begin(folder: Path, run: TrainingRun, data: Path, resume: bool) -> Tracker:
    """Return the tracker of a training, with the run stored in `folder` to `resume` it, or with a new run.

    A new run gets the parameters, the data's fingerprint and the plots of `prepare`. Nothing is written to `folder`.

    Raises:
        StepError: the server is unreachable, or refuses.
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
        another = f", remove {folder / _FILE} to start another run" if tracker.run_id else ""
        raise StepError(
            f"MLFLOW_TRACKING_URI is {_public(uri)}, and logging there fails: {_reason(error)}; fix the server, the "
            f"address or MLFLOW_TRACKING_TOKEN{another}, or unset MLFLOW_TRACKING_URI to train without tracking"
        ) from error
    return tracker


def of(folder: Path) -> Tracker:
    """Return the tracker of the training in `folder`, for later steps. Without a run it logs nothing."""
    path = folder / _FILE
    if not os.environ.get("MLFLOW_TRACKING_URI") or not path.is_file():
        return Tracker(folder)
    return Tracker(folder, **json.loads(path.read_text(encoding="utf-8")))


def semantic(version: str) -> str:
    """Return a release's version in the form GitLab requires: 20261124-613b1f22 -> 20261124.0.0-sha-613b1f22."""
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
    """Flatten nested records: {"a": {"b": 1}} -> ("a.b", "1")."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _reason(error: Exception) -> str:
    return _public(next(iter(str(error).splitlines()), "") or type(error).__name__)


def _public(text: str) -> str:
    """Remove passwords from addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)

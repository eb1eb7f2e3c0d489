"""The tests have the same environment everywhere: what a GitLab job sets for the project concerns none of them."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

JOB = Path(__file__).with_name("gitlab_job.env")
_PREDEFINED = re.compile("(CI|GITLAB)(_.*)?|MLFLOW_TRACKING_.*|NOTE_TOKEN|NOTICE_WEBHOOK")


def job_variables() -> dict[str, str]:
    """Return the variables of a GitLab job of this project."""
    lines = JOB.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def isolate(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove what a GitLab job sets: predefined variables, and those of the project."""
    known = job_variables()
    for name in [*environment]:
        if name in known or _PREDEFINED.fullmatch(name):
            del environment[name]

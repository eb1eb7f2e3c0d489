"""One entry into a log of Cloud Logging."""

from __future__ import annotations

import re
from typing import Any

from google.cloud.logging import Resource

from training.deployment.clients import calling, logging_client
from training.errors import StepError


def write(log: str, fields: dict[str, Any], severity: str) -> None:
    """Write one entry.

    Args:
        log: projects/<project>/logs/<name>.
        fields: its `jsonPayload`.
        severity: Cloud Logging's name of it.

    Raises:
        StepError: that is no log, or it cannot be written.
    """
    named = re.fullmatch(r"projects/([a-z0-9:.-]+)/logs/([A-Za-z0-9_.-]+)", log)
    if named is None:
        raise StepError(f"{log} names no log; write projects/<project>/logs/<name>")
    project, name = named.groups()
    # Named, for the client would look around for it: on a runner that is none of Google's, in vain and for seconds.
    resource = Resource("global", {"project_id": project})
    with calling(log):
        logging_client(project).logger(name, resource=resource).log_struct(fields, severity=severity)

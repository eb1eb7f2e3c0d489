"""Write an entry to Cloud Logging."""

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
        fields: the `jsonPayload`.
        severity: for example WARNING.

    Raises:
        StepError: `log` is not the name of a log, or it cannot be written.
    """
    named = re.fullmatch(r"projects/([a-z0-9:.-]+)/logs/([A-Za-z0-9_.-]+)", log)
    if named is None:
        raise StepError(f"{log!r} is not the name of a log; expected projects/<project>/logs/<name>")
    project, name = named.groups()
    # Without a resource the client queries the metadata server for seconds, in vain on a machine outside Google Cloud.
    resource = Resource("global", {"project_id": project})
    with calling(log):
        logging_client(project).logger(name, resource=resource).log_struct(fields, severity=severity)

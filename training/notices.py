"""Notices for people, sent to a webhook: a release went live, was refused or rolled back, or predictions drifted."""

from __future__ import annotations

import os
import sys

import requests

# Address of an incoming webhook of Slack, Mattermost, Google Chat or any other that takes {"text": …}.
WEBHOOK = "NOTICE_WEBHOOK"
_SECONDS = 10


def send(text: str) -> None:
    """Send a notice to the address in NOTICE_WEBHOOK, with the project and the job; do nothing without one.

    A webhook that fails is a warning: what the notice is about has happened already. The address is a secret, so no
    message has it.
    """
    address = os.environ.get(WEBHOOK, "")
    if not address:
        return
    project, job = os.environ.get("CI_PROJECT_PATH", ""), os.environ.get("CI_JOB_URL", "")
    body = {"text": "\n".join(filter(None, [f"{project}: {text}" if project else text, job]))}
    try:
        answer = requests.post(address, json=body, timeout=_SECONDS)
        problem = "" if answer.ok else f"it answers {answer.status_code}"
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        print(f"warning: the notice could not be sent to {WEBHOOK}: {problem}", file=sys.stderr)

"""The comparison with the default branch as one note on a merge request, rewritten at each push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from training.errors import StepError

# Name of the variable with the token.
VARIABLE = "NOTE_TOKEN"
# Identifies the note. GitLab does not show it.
_MARK = "<!-- comparison of age-gender-detection -->"
_SECONDS = 30
_PER_PAGE = 100


def note(text: str, variables: Mapping[str, str]) -> str:
    """Write or rewrite the note, and return its address.

    Args:
        text: of the note, as Markdown.
        variables: of the job: CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID, CI_MERGE_REQUEST_PROJECT_URL, and
            NOTE_TOKEN, a token with the scope `api`.

    Raises:
        StepError: a variable is missing, or GitLab refuses the note.
    """
    names = ("CI_API_V4_URL", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_PROJECT_URL", VARIABLE)
    if missing := [name for name in names if not variables.get(name)]:
        raise StepError(f"{', '.join(missing)} is not set; run this in a merge request pipeline, with {VARIABLE}")
    server, project, number, page, token = (variables[name] for name in names)
    notes = f"{server}/projects/{project}/merge_requests/{number}/notes"
    with requests.Session() as session:
        session.headers["PRIVATE-TOKEN"] = token
        own = _own(session, notes)
        body = {"body": f"{_MARK}\n{text}"}
        written = (
            _call(session, "PUT", f"{notes}/{own}", json=body) if own else _call(session, "POST", notes, json=body)
        )
    return f"{page}/-/merge_requests/{number}#note_{written['id']}"


def _own(session: requests.Session, notes: str) -> int | None:
    """Return the id of the note that an earlier pipeline wrote, or None."""
    page = 1
    while found := _call(session, "GET", notes, params={"per_page": _PER_PAGE, "page": page}):
        if own := [each["id"] for each in found if each["body"].startswith(_MARK)]:
            return int(own[0])
        page += 1
    return None


def _call(session: requests.Session, method: str, address: str, **options: Any) -> Any:
    try:
        answer = session.request(method, address, timeout=_SECONDS, **options)
    except requests.RequestException as error:
        raise StepError(f"{address} cannot be reached: {type(error).__name__}") from error
    if not answer.ok:
        remedy = f"; {VARIABLE} needs the scope `api` and the Reporter role" if answer.status_code in (401, 403) else ""
        raise StepError(f"{address} answers {answer.status_code}{remedy}")
    return answer.json()

"""The commit of this working copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path


def commit() -> str:
    """Return GitLab's commit, else the working copy's, with "+" after local changes, else ""."""
    if "CI_COMMIT_SHA" in os.environ:
        return os.environ["CI_COMMIT_SHA"]
    return _git("describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*")


def committed() -> int:
    """Return when the commit was made, in seconds since 1970, 0 if that is unknown."""
    if stated := os.environ.get("CI_COMMIT_TIMESTAMP"):
        return int(datetime.fromisoformat(stated).timestamp())
    return int(_git("show", "--no-patch", "--format=%ct", "HEAD") or 0)


def _git(*arguments: str) -> str:
    """Return what git says of this working copy, "" without git or without a repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    folder = Path(__file__).parent
    done = subprocess.run([git, *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()

"""The commit of this working copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def commit() -> str:
    """Return GitLab's commit, else the working copy's, with "+" after local changes, else ""."""
    if "CI_COMMIT_SHA" in os.environ:
        return os.environ["CI_COMMIT_SHA"]
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

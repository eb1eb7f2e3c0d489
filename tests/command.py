"""The command `age-gender` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import FUNCTION


def age_gender(
    *arguments: str | Path, python: Path = Path(sys.executable), given: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; `given` is its standard input."""
    done = subprocess.run(
        [python, "-m", "age_gender", *arguments],
        input=given,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(FUNCTION), **environment},
        check=False,
        timeout=300,
    )
    # An uncaught exception passes through `python -m`; those that Beam logs do not.
    assert b"<frozen runpy>" not in done.stderr, done.stderr.decode()
    stdout, stderr = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)

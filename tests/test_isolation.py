"""The tests pass in a GitLab job of this project, whose variables name its cloud and its pipeline."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests import isolation
from tests.conftest import ROOT

# Tests whose code reads variables of a job: commit, notices, notes, registry, service, identity.
REPRESENTATIVE = (
    "tests/training/test_notices.py",
    "tests/training/test_merge_request.py",
    "tests/training/test_provenance.py",
    "tests/function/test_settings.py",
)


def test_what_a_job_sets_is_removed_and_nothing_else() -> None:
    environment = {**isolation.job_variables(), "CI_SOMETHING_NEW": "1", "UTKFACE_DIR": "/faces", "PATH": "/bin"}
    isolation.isolate(environment)
    assert environment == {"UTKFACE_DIR": "/faces", "PATH": "/bin"}


def test_the_variables_that_the_configuration_documents_are_listed() -> None:
    text = (ROOT / ".gitlab-ci.yml").read_text()
    documented = set(re.findall(r"^#   ([A-Z_]{4,})\s", text, re.MULTILINE))
    environment = dict.fromkeys(documented, "1")
    isolation.isolate(environment)
    assert environment == {}


@pytest.mark.slow
def test_tests_pass_with_the_variables_of_a_job() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *REPRESENTATIVE]
    environment = {**os.environ, **isolation.job_variables()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]

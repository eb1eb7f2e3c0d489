"""Provenance of what was built: an in-toto Statement v1 with SLSA's predicate Provenance v1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.release import parse_json

PROVENANCE_FILE = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Project of what was built outside of GitLab.
_NOWHERE = "https://localhost"
_EXPLAINED = "docs/explanation/provenance.md"

Material = dict[str, Any]


@dataclass(frozen=True)
class Build:
    """How something was built."""

    kind: str
    """Heading of docs/explanation/provenance.md that describes this kind of build."""
    commit: str
    """Commit of the source, "" if it is unknown. A "+" at its end marks local changes."""
    job: str
    """Address of GitLab's job or pipeline, "" outside of GitLab."""
    parameters: Mapping[str, Any]
    """Every parameter of the build."""
    materials: list[Material]
    """What went into it, besides the source."""
    finished: str
    """Time of the end, as in ISO 8601."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of the build, such as the runner."""


def statement(subjects: Mapping[str, str], build: Build) -> str:
    """Return a statement as JSON.

    Args:
        subjects: SHA-256 in hex of what was built, by name.
        build: How it was built.
    """
    project = build.job.partition("/-/")[0] or _NOWHERE
    # "+" is no digit of a commit.
    clean = build.commit.rstrip("+")
    source = [{"uri": f"git+{project}", "digest": {"gitCommit": clean}}] if clean else []
    invocation = {"invocationId": build.job} if build.job else {}
    predicate = {
        "buildDefinition": {
            "buildType": f"{project}/-/blob/{clean or 'HEAD'}/{_EXPLAINED}#{build.kind}",
            "externalParameters": build.parameters,
            "internalParameters": {"localChanges": build.commit != clean, **build.details},
            "resolvedDependencies": [*source, *build.materials],
        },
        "runDetails": {"builder": {"id": project}, "metadata": {**invocation, "finishedOn": build.finished}},
    }
    named = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()]
    stated = {"_type": STATEMENT, "subject": named, "predicateType": PREDICATE, "predicate": predicate}
    return json.dumps(stated, indent=1) + "\n"


def material(name: str, sha256: str) -> Material:
    """Return one thing that went into a build."""
    return {"name": name, "digest": {"sha256": sha256}}


def configuration(parameters: Mapping[str, Any]) -> Material:
    """Return the parameters of a build as a material: the digest of their JSON with sorted members, without spaces."""
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return material("configuration", hashlib.sha256(canonical.encode()).hexdigest())


def subjects(data: bytes) -> dict[str, str]:
    """Return name and SHA-256 of what a statement is about.

    Raises:
        ValueError: It is no statement of provenance.
    """
    try:
        stated = parse_json(data)
        if (stated["_type"], stated["predicateType"]) != (STATEMENT, PREDICATE):
            raise ValueError(f"the type {stated['predicateType']!r}")
        return {str(each["name"]): str(each["digest"]["sha256"]) for each in stated["subject"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"without {error}") from error

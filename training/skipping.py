"""Skip a step that would do the same again: a record of what it was made from and what it wrote.

The key of a step is a digest of its data, its code and its configuration. A step that ends writes a record with these
inputs. It has nothing to do while its inputs are the same and its outputs are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.files import write_text

# Outputs up to this size are compared by content, larger ones by size.
_SMALL_BYTES = 4 * 2**20
_NAMED = 3

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step with its present inputs."""

    record: Path
    """File with the inputs and outputs of the last run that ended."""
    inputs: Inputs
    """What determines the outputs, as JSON."""
    outputs: tuple[Path, ...] = ()
    """Files and folders that the step writes."""
    shared: tuple[Path, ...] = ()
    """Files that the step writes and later steps change. They only have to exist."""

    @property
    def key(self) -> str:
        """Return the SHA-256 of the inputs in hex."""
        return key(self.inputs)

    def reason(self) -> str:
        """Return why the step must run: what changed or is missing. "" if it has nothing to do."""
        found = load(self.record)
        if found is None:
            return f"{self.record} does not exist"
        if changed := list(_differing(found["inputs"], self._inputs())):
            more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            return f"changed: {', '.join(changed[:_NAMED])}{more}"
        for name, described in found["outputs"].items():
            path = self.record.parent / name
            if not path.is_file():
                return f"missing: {path}"
            size = path.stat().st_size
            if size != described["bytes"] or (size <= _SMALL_BYTES and digest(path) != described["sha256"]):
                return f"changed: {path}"
        missing = [str(path) for path in self.shared if not path.is_file()]
        return f"missing: {missing[0]}" if missing else ""

    def finish(self) -> None:
        """Write the record, after the outputs are complete."""
        files = sorted(set(_files(self.outputs)) - {self.record})
        outputs = {
            path.relative_to(self.record.parent).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
            for path in files
        }
        record = {"key": self.key, "inputs": self._inputs(), "outputs": outputs}
        write_text(self.record, json.dumps(record, indent=1) + "\n")

    def _inputs(self) -> Inputs:
        """Return the inputs as a record holds them, without tuples."""
        found: Inputs = json.loads(json.dumps(self.inputs))
        return found


def key(inputs: Inputs) -> str:
    """Return the SHA-256 of inputs in hex."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def contents(folder: Path, pattern: str, record: Path) -> str:
    """Return a digest of the names and contents of files. Large files that a record knows are not read again."""
    known = (load(record) or {"outputs": {}})["outputs"]
    found = {}
    for path in sorted(folder.glob(pattern)):
        size = path.stat().st_size
        described = known.get(path.relative_to(record.parent).as_posix(), {})
        unread = size > _SMALL_BYTES and described.get("bytes") == size
        found[path.name] = described["sha256"] if unread else digest(path)
    return key(found)


def load(record: Path) -> Inputs | None:
    """Return a record, or None if there is none that can be read."""
    try:
        found = json.loads(record.read_bytes())
        return found if {"inputs", "outputs"} <= found.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)


def _differing(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yield the names of the inputs that differ: the innermost ones."""
    if isinstance(before, dict) and isinstance(now, dict):
        for member in sorted(before.keys() | now.keys()):
            yield from _differing(before.get(member), now.get(member), member)
    elif before != now:
        yield name

"""A release's manifest -> the commands that make it again, from the commit, the faces and the releases it names."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.storage import CLOUD
from training.config import NAMED_WEIGHTS
from training.data import shards
from training.errors import StepError
from training.registry.addresses import release_at

_ROOT = Path(__file__).resolve().parent.parent
# What stands for the faces where nobody said where they are.
_DATA = "$DATA"
_CPU_LOCK = "training/requirements-cpu.txt"
# The presets had no module of their own before.
_TELL_PRESETS = """
import dataclasses, json
try:
    from training.presets import PRESETS
except ImportError:
    from training.config import PRESETS
print(json.dumps({name: dataclasses.asdict(preset) for name, preset in PRESETS.items()}))
"""


@dataclass
class Plan:
    """What makes a release again."""

    # arguments of `python -m training`, a row a step: prepare, train, convert, evaluate
    steps: list[list[str]] = field(default_factory=list)
    # what no command does; each has to be out of the way first
    obstacles: list[str] = field(default_factory=list)


@contextmanager
def checkout(manifest: dict[str, Any]) -> Iterator[Path]:
    """A clean working tree of the commit that the release was trained from, gone afterwards.

    Raises:
        StepError: the release names none, or this clone does not hold it.
    """
    commit = _commit(manifest)
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        tree = Path(folder, "source")
        _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def plan(manifest: dict[str, Any], tree: Path, data: str, work: Path, registry: str) -> Plan:
    """How to make the release again.

    Args:
        manifest: of the release.
        tree: a working tree of its commit.
        data: folder or archive of the faces; "" where that is not known yet.
        work: folder for the steps' files.
        registry: where the releases may be that it learnt from; "" for nowhere.

    Raises:
        StepError: the commit knows no such preset.
    """
    made = manifest["provenance"]
    presets = _presets(tree)
    if made["preset"] not in presets:
        raise StepError(f"the commit has no preset {made['preset']!r}; there are {', '.join(presets)}")
    preset = presets[made["preset"]]
    result = Plan()
    if made["commit"].endswith("+"):
        result.obstacles.append("the working copy had changes that no commit holds")
    named, size = ["--preset", made["preset"]], made["data"]["size"]
    other_size = [] if size == preset.get("prepare", {}).get("size") else ["--size", str(size)]
    epoch = manifest["model"].get("epoch", 0)
    place = ["--work", str(work.resolve())]
    result.steps = [
        ["prepare", *named, *other_size, "--data", str(Path(data).resolve()) if data else _DATA, *place],
        ["train", *named, *_settings(made, preset["train"], registry, result.obstacles), *place],
        ["convert", *(["--epoch", str(epoch)] if epoch else []), *place],
        ["evaluate", *place],
    ]
    result.obstacles = list(dict.fromkeys(result.obstacles))
    return result


def script(manifest: dict[str, Any], plan: Plan, work: Path) -> str:
    """The plan as a person types it into a shell, from a clone of this project."""
    made, tree = manifest["provenance"], shlex.quote(str(work.resolve() / "source"))
    on = made.get("trained", {}).get("on", [{}])[-1]
    python = ".".join(made["tools"]["python"].split(".")[:2])
    faces = made.get("source", {})
    lines = [
        _comment(f"release {manifest['version']} of {manifest['created']}"),
        *(_comment(f"cannot be repeated as it is: {obstacle}") for obstacle in plan.obstacles),
        *([_comment(f"in the container image {on['image']}")] if on.get("image") else []),
        f"git worktree add --detach {tree} {_commit(manifest)}",
        f"cd {tree}",
        f"{shlex.quote(f'python{python}')} -m venv .venv",
        f".venv/bin/pip install --require-hashes -r {shlex.quote(on.get('lock', {}).get('file', _CPU_LOCK))}",
        *(["npm ci --omit=dev --ignore-scripts"] if made["config"]["init_from"] == "faceres" else []),
        "export PYTHONPATH=function",
        _comment(f"the faces: {faces.get('name', 'not named')}, SHA-256 {faces.get('sha256', 'not known')}"),
        *(".venv/bin/python -m training " + " ".join(map(_quoted, step)) for step in plan.steps),
        _comment(f"the faces' fingerprint has to be {made['data']['sha256']}"),
        _comment(f"model.tflite has to have SHA-256 {manifest['model']['sha256']}"),
    ]
    return "\n".join(lines)


def run(manifest: dict[str, Any], plan: Plan, tree: Path, work: Path) -> None:
    """Take every step of the plan in `tree`, with this environment's packages.

    Raises:
        StepError: something stands in the way, the faces are others, or a step fails.
    """
    missing = ["--data names no faces"] if _DATA in plan.steps[0] else []
    if stopping := [*plan.obstacles, *missing]:
        raise StepError(f"{manifest['version']} cannot be made again: {'; '.join(stopping)}")
    if (_ROOT / "node_modules").is_dir():
        (tree / "node_modules").symlink_to(_ROOT / "node_modules")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree / "function"), str(tree), os.environ.get("PYTHONPATH", "")]),
        "CI_COMMIT_SHA": _commit(manifest),
    }
    # A repetition is no training that a server should keep.
    environment.pop("MLFLOW_TRACKING_URI", None)
    for step in plan.steps:
        command = [sys.executable, "-m", "training", *step]
        if subprocess.run(command, cwd=tree, env=environment, check=False).returncode:  # noqa: S603
            raise StepError(f"`{step[0]}` failed in the working tree of {_commit(manifest)}; see above")
        if step[0] == "prepare":
            _require_faces(manifest, work / "data")


def _require_faces(manifest: dict[str, Any], data: Path) -> None:
    found, wanted = shards.fingerprint(data).sha256, manifest["provenance"]["data"]["sha256"]
    if found != wanted:
        raise StepError(
            f"the faces have the fingerprint {found}, those of the release {wanted}; give --data the faces that it "
            "was made of"
        )


def _commit(manifest: dict[str, Any]) -> str:
    commit: str = manifest["provenance"]["commit"].removesuffix("+")
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise StepError(
            f"the manifest names {commit!r} as the commit; a release made outside of a clone names none, and cannot be "
            "repeated"
        )
    return commit


def _presets(tree: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", _TELL_PRESETS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "function")])}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StepError(f"the presets of that commit cannot be read: {done.stderr.strip().splitlines()[-1]}")
    presets: dict[str, Any] = json.loads(done.stdout)
    return presets


def _settings(made: dict[str, Any], preset: dict[str, Any], registry: str, obstacles: list[str]) -> list[str]:
    """The options of `train` for what differs from the preset; what none can say goes to `obstacles`."""
    options: list[str] = []
    releases = made.get("trained", {}).get("releases", {})
    for name, value in made["config"].items():
        if value == preset.get(name):
            continue
        if name == "init_from":
            options += ["--init-from", _found(value, releases.get(value), registry, obstacles)]
        elif name == "teachers":
            for uri in value:
                options += ["--teacher", _found(uri, releases.get(uri), registry, obstacles)]
        elif isinstance(value, int | float | str):
            options += ["--set", f"{name}={value}"]
        else:
            obstacles.append(f"no option sets {name} to {value}")
    return options


def _found(uri: str, known: dict[str, str] | None, registry: str, obstacles: list[str]) -> str:
    """Where the release is that was at `uri` when the training began."""
    if uri in ("", *NAMED_WEIGHTS):
        return uri
    places = [_absolute(uri)]
    if registry and known:
        places.insert(0, f"{_absolute(registry)}/{known['version']}")
    for place in places:
        there = release_at(place)
        if there and (known is None or there["sha256"] == known["sha256"]):
            return place
    which = f"release {known['version']}, SHA-256 {known['sha256']}" if known else "a release that it does not describe"
    obstacles.append(f"it learnt from {uri}, {which}, which is not there; put it into that place or into the registry")
    return uri


def _absolute(uri: str) -> str:
    """An address that means the same in the working tree of another commit."""
    return uri if uri.startswith(CLOUD) else str(Path(uri).resolve())


def _comment(text: str) -> str:
    """One line of a script that does nothing, whatever the manifest says."""
    return "# " + " ".join(text.split())


def _quoted(argument: str) -> str:
    return f'"{argument}"' if argument == _DATA else shlex.quote(argument)


def _git(*arguments: str) -> None:
    git = shutil.which("git")
    if git is None:
        raise StepError("git is not installed; it checks out the commit that the release was made from")
    done = subprocess.run([git, "-C", _ROOT, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StepError(
            f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}; a shallow clone lacks earlier commits, which "
            "`git fetch --unshallow` brings"
        )

"""Reproduce a release from the commit, the dataset and the releases that its manifest names."""

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

from training.config import BUNDLED, NAMED_WEIGHTS
from training.data import label_origin, shards
from training.errors import StepError
from training.registry.addresses import parse
from training.registry.releases import bundled, release_at

_ROOT = Path(__file__).resolve().parent.parent
# Placeholders for files that the user has not named, with the option that names them.
_DATA, _OTHER = "$DATA", "$OTHER"
_PLACEHOLDERS = {_DATA: "--data", **label_origin.PLACEHOLDERS, _OTHER: "--other"}
_CPU_LOCK = "training/requirements-cpu.txt"
# Earlier commits have the presets in training.config.
_TELL_PRESETS = """
import dataclasses, json
try:
    from training.presets import PRESETS
except ImportError:
    from training.config import PRESETS
print(json.dumps({name: dataclasses.asdict(preset) for name, preset in PRESETS.items()}))
"""


@dataclass(frozen=True)
class Dataset:
    """Local files with the faces of a release."""

    data: str = ""
    """Folder or archive, "" if it is unknown."""
    labels: tuple[str, ...] = ()
    """Tables of labels."""
    values: str = ""
    """File of values for the tables."""
    other: str = ""
    """Output of `prepare` with the other faces of a fine-tuning."""


@dataclass
class Plan:
    """Steps that reproduce a release."""

    steps: list[list[str]] = field(default_factory=list)
    """Arguments of `python -m training` by step: prepare, train, convert, evaluate."""
    obstacles: list[str] = field(default_factory=list)
    """Reasons, in words, why the steps alone do not reproduce it."""


@dataclass(frozen=True)
class _Places:
    """Where the releases may be that a training learnt from."""

    tree: Path
    """Working tree of the commit."""
    registry: str
    """Address of a registry, "" for none."""

    def of(self, name: str, known: dict[str, str] | None) -> Iterator[tuple[str, str]]:
        """Yield how `train` in the tree names a release that may be there, and its present address."""
        here = bundled()
        with_code = [(BUNDLED, str(self.tree / "function" / "model")), (here, here)]
        if name == BUNDLED:
            # First: without trainable weights it is another start than its copy in a registry.
            yield from with_code
        stored = [f"{_absolute(self.registry)}/{known['version']}"] if self.registry and known else []
        yield from ((uri, uri) for uri in (*stored, *([_absolute(name)] if name != BUNDLED else [])))
        if name != BUNDLED and known:
            yield from with_code


@contextmanager
def checkout(manifest: dict[str, Any]) -> Iterator[Path]:
    """Check out the commit of the release in a temporary working tree.

    Raises:
        StepError: the release names no commit, or this clone does not have it.
    """
    commit = _commit(manifest)
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        tree = Path(folder, "source")
        _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def plan(manifest: dict[str, Any], tree: Path, dataset: Dataset, work: Path, registry: str) -> Plan:
    """Return the steps that reproduce the release.

    Args:
        manifest: of the release.
        tree: a working tree of its commit.
        dataset: the release's faces and labels.
        work: folder for the files of the steps.
        registry: with the teachers and initial weights, "" for none.

    Raises:
        StepError: the commit has no such preset, or the manifest lacks or garbles something.
    """
    with _valid(manifest):
        return _plan(manifest, tree, dataset, work, registry)


def _plan(manifest: dict[str, Any], tree: Path, dataset: Dataset, work: Path, registry: str) -> Plan:
    made = manifest["provenance"]
    presets = _presets(tree)
    if made["preset"] not in presets:
        raise StepError(f"the commit has no preset {made['preset']!r}; it has {', '.join(presets)}")
    preset = presets[made["preset"]]
    result = Plan()
    if made["commit"].endswith("+"):
        result.obstacles.append("the working copy had uncommitted changes")
    # int and `=` keep a manifest's text from becoming another option.
    named, size = ["--preset", made["preset"]], int(made["data"]["size"])
    other_size = [] if size == preset.get("prepare", {}).get("size") else ["--size", f"{size}"]
    epoch = int(manifest["model"].get("epoch", 0))
    place = ["--work", str(work.resolve())]
    faces = str(Path(dataset.data).resolve()) if dataset.data else _DATA
    labels = label_origin.repeat(
        made.get("source", {}).get("labels", {}), dataset.labels, dataset.values, result.obstacles
    )
    result.steps = [
        ["prepare", *named, *other_size, *_alignment(made["data"]), "--data", faces, *labels, *place],
        [
            *("train", *named, *_settings(made, preset["train"], _Places(tree, registry), result.obstacles)),
            *_other(made, dataset.other, result.obstacles),
            *place,
        ],
        ["convert", *(["--epoch", f"{epoch}"] if epoch else []), *place],
        ["evaluate", *place],
    ]
    result.obstacles = list(dict.fromkeys(result.obstacles))
    return result


def _alignment(data: dict[str, Any]) -> list[str]:
    """Return the options of `prepare` for data that it aligned."""
    aligned = data.get("alignment", {})
    return ["--align", f"--faces={aligned['faces']}"] if aligned else []


def _other(made: dict[str, Any], folder: str, obstacles: list[str]) -> list[str]:
    """Return the option of `train` for the other faces of a fine-tuning, none for another training."""
    stated = made.get("other", {}).get("data")
    if not stated:
        return []
    if folder and shards.fingerprint(Path(folder)).sha256 != stated["sha256"]:
        obstacles.append(f"{folder} has other faces than the training, whose fingerprint is {stated['sha256']}")
    return ["--other", str(Path(folder).resolve()) if folder else _OTHER]


def script(manifest: dict[str, Any], plan: Plan, work: Path) -> str:
    """Return the plan as a shell script for a clone of this project.

    Raises:
        StepError: the manifest lacks or garbles something.
    """
    with _valid(manifest):
        return _script(manifest, plan, work)


def _script(manifest: dict[str, Any], plan: Plan, work: Path) -> str:
    made, tree = manifest["provenance"], shlex.quote(str(work.resolve() / "source"))
    on = made.get("trained", {}).get("on", [{}])[-1]
    python = ".".join(made["tools"]["python"].split(".")[:2])
    faces = made.get("source", {})
    lines = [
        _comment(f"release {manifest['version']} of {manifest['created']}"),
        *(_comment(f"not reproducible as it is: {obstacle}") for obstacle in plan.obstacles),
        *([_comment(f"in the container image {on['image']}")] if on.get("image") else []),
        f"git worktree add --detach {tree} {_commit(manifest)}",
        f"cd {tree}",
        f"{shlex.quote(f'python{python}')} -m venv .venv",
        f".venv/bin/pip install --require-hashes -r {shlex.quote(on.get('lock', {}).get('file', _CPU_LOCK))}",
        *(["npm ci --omit=dev --ignore-scripts"] if made["config"]["init_from"] == "faceres" else []),
        "export PYTHONPATH=function",
        _comment(f"dataset: {faces.get('name', 'unnamed')}, SHA-256 {faces.get('sha256', 'unknown')}"),
        *map(_comment, label_origin.comments(faces.get("labels", {}))),
        *(".venv/bin/python -m training " + " ".join(map(_quoted, step)) for step in plan.steps),
        _comment(f"expected fingerprint of the dataset: {made['data']['sha256']}"),
        _comment(f"expected SHA-256 of model.tflite: {manifest['model']['sha256']}"),
    ]
    return "\n".join(lines)


def run(manifest: dict[str, Any], plan: Plan, tree: Path, work: Path) -> None:
    """Run every step of the plan in `tree` with this environment's packages.

    Raises:
        StepError: there is an obstacle, the dataset is another one, or a step fails.
    """
    used = {argument for step in plan.steps for argument in step}
    missing = [f"{option} is missing" for name, option in _PLACEHOLDERS.items() if name in used]
    if stopping := [*plan.obstacles, *missing]:
        raise StepError(f"{manifest['version']} cannot be reproduced: {'; '.join(stopping)}")
    if (_ROOT / "node_modules").is_dir():
        (tree / "node_modules").symlink_to(_ROOT / "node_modules")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree / "function"), str(tree), os.environ.get("PYTHONPATH", "")]),
        "CI_COMMIT_SHA": _commit(manifest),
    }
    # The server shall not track a reproduction as a training.
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
            f"the dataset has the fingerprint {found}, that of the release is {wanted}; use --data with the release's "
            "dataset, and --labels and --values with its labels if it has tables"
        )


def _commit(manifest: dict[str, Any]) -> str:
    with _valid(manifest):
        commit: str = manifest["provenance"]["commit"].removesuffix("+")
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise StepError(
            f"the manifest names the commit {commit!r}; a release that was made outside of a clone names none and "
            "cannot be reproduced"
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


def _settings(made: dict[str, Any], preset: dict[str, Any], places: _Places, obstacles: list[str]) -> list[str]:
    """Return the options of `train` for differences from the preset, and add those without one to `obstacles`."""
    options: list[str] = []
    releases = made.get("trained", {}).get("releases", {})
    for name, value in made["config"].items():
        if value == preset.get(name) or name == "other":
            continue
        if name == "init_from":
            options.append(f"--init-from={_found(value, releases.get(value), places, obstacles)}")
        elif name == "teachers":
            for uri in value:
                options.append(f"--teacher={_found(uri, releases.get(uri), places, obstacles)}")
        elif isinstance(value, int | float | str) and name.isidentifier():
            options += ["--set", f"{name}={value}"]
        else:
            obstacles.append(f"no option sets {name} to {value}")
    return options


def _found(name: str, known: dict[str, str] | None, places: _Places, obstacles: list[str]) -> str:
    """Return the present address of the release that a training learnt from, by its digest.

    Args:
        name: its name in the manifest: BUNDLED, its version, or its address. Older manifests name local folders.
        known: its version and digest, None in manifests that state none.
        places: where to look for it.
        obstacles: gets a sentence if it is missing.
    """
    if name in ("", *NAMED_WEIGHTS) or (name == BUNDLED and known is None):
        return name
    for uri, place in places.of(name, known):
        there = release_at(place)
        if there and (known is None or there["sha256"] == known["sha256"]):
            return uri
    obstacles.append(
        f"it was trained with release {known['version']}, SHA-256 {known['sha256']}, which is missing; publish it into "
        "a registry and name that with --registry"
        if known
        else f"it was trained with {name}, an unknown release, which is missing; copy it there"
    )
    return name


def _absolute(uri: str) -> str:
    """Return an address that is valid in the working tree of another commit."""
    return uri if parse(uri).bucket else str(Path(uri).resolve())


@contextmanager
def _valid(manifest: dict[str, Any]) -> Iterator[None]:
    """Raise a StepError for a manifest that lacks a member or has a value of a wrong type."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StepError(f"the manifest of {manifest['version']} lacks or garbles {error}") from error


def _comment(text: str) -> str:
    """Return a comment of one line."""
    return "# " + " ".join(text.split())


def _quoted(argument: str) -> str:
    return f'"{argument}"' if argument in _PLACEHOLDERS else shlex.quote(argument)


def _git(*arguments: str) -> None:
    git = shutil.which("git")
    if git is None:
        raise StepError("git is not installed; it checks out the commit of the release")
    done = subprocess.run([git, "-C", _ROOT, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StepError(
            f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}; run `git fetch --unshallow` in a shallow clone"
        )

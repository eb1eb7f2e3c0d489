"""The rules of docs/explanation/architecture.md, checked against imports and definitions."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# where imports begin, and the packages that lie there
SOURCES = {ROOT / "function": ("main", "serving", "age_gender"), ROOT: ("training",)}

# The layers of training/, lowest first: a module imports from its own layer or a lower one.
LAYERS = (
    (
        "config",
        "errors",
        "faces",
        "files",
        "git",
        "labels",
        "merge_request",
        "notices",
        "openmetrics",
        "presets",
        "progress",
        "quiet",
        "runs",
        "sbom",
        "skipping",
        "slsa",
        "sources",
        "stability",
        "templating",
        "text_table",
    ),
    ("data",),
    ("registry",),
    ("learning",),
    ("calibration",),
    ("evaluation",),
    ("deployment",),
    ("monitoring",),
    ("tracking",),
    (
        "prepare",
        "prepare_beam",
        "train",
        "convert",
        "evaluate",
        "gate",
        "publish",
        "fetch",
        "reproduction_report",
        "reproduce",
    ),
    ("commands",),
    ("__main__",),
)
STEPS = {f"training.{name}" for name in LAYERS[-3]}
# the lowest layer of both halves
LEAVES = (
    "serving.prediction",
    "serving.timeouts",
    "serving.formats",
    "serving.limits",
    "serving.text",
    "serving.static_files",
    "serving.problems",
    "serving.addresses",
    "age_gender.progress",
    "training.errors",
    "training.openmetrics",
    "training.progress",
    "training.quiet",
    "training.templating",
    "training.data.duplicates",
    "training.learning.layers",
)
HEAVY = {"tensorflow", "keras", "matplotlib", "mlflow"}


def _modules() -> dict[str, Path]:
    """Dotted name -> file, of all that is no test."""
    return {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for source, packages in SOURCES.items()
        for package in packages
        for path in (*source.glob(f"{package}.py"), *(source / package).rglob("*.py"))
    }


MODULES = _modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def _imported(name: str) -> set[str]:
    """Whatever a module imports, wherever in it: modules of the project by their dotted names, others by theirs."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
    return found


IMPORTS = {name: _imported(name) for name in MODULES}


def _roots(name: str) -> set[str]:
    return {imported.partition(".")[0] for imported in IMPORTS[name]}


def _layer(name: str) -> int:
    _, _, inner = name.partition(".")
    top = inner.partition(".")[0]
    (found,) = (number for number, names in enumerate(LAYERS) if top in names)
    return found


def test_the_function_knows_nothing_of_training() -> None:
    ours = [name for name in MODULES if not name.startswith("training")]
    assert {name for name in ours if _roots(name) & (HEAVY | {"training"})} == set()
    assert {name for name in ours if name.startswith("serving") and _roots(name) & {"main", "age_gender"}} == set()


def test_training_imports_downwards() -> None:
    upwards = [
        f"{name} imports {imported}"
        for name in MODULES
        if name.startswith("training.")
        for imported in IMPORTS[name]
        if imported.startswith("training.") and _layer(imported) > _layer(name)
    ]
    assert upwards == []


def test_no_step_imports_another() -> None:
    assert {name: others for name in STEPS if (others := IMPORTS[name] & STEPS)} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imported & set(MODULES) - {name} for name, imported in IMPORTS.items()}
    assert set(TopologicalSorter(graph).static_order()) == set(MODULES)


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaves_import_nothing_of_the_project(leaf: str) -> None:
    assert IMPORTS[leaf] & set(MODULES) == set()


def test_what_moves_releases_and_traffic_needs_no_tensorflow() -> None:
    packages = ("training.registry", "training.deployment", "training.monitoring")
    assert {name for name in MODULES if name.startswith(packages) and _roots(name) & HEAVY} == set()


def test_training_opens_cloud_storage_by_one_loader() -> None:
    """training/registry reads releases with Google's library; the function's storage knows fewer credentials."""
    ours = [name for name in MODULES if name.startswith("training")]
    assert {name for name in ours if "serving.storage" in IMPORTS[name] or "obstore" in _roots(name)} == set()
    loaders = {"load", "Loading"}
    called = {
        name
        for name in ours
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and node.attr in loaders and ast.unparse(node.value) == "release"
    }
    assert called == set()
    imported = {
        name
        for name in ours
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and node.module == "google.cloud"
        if "storage" in {alias.name for alias in node.names}
    }
    assert imported == {"training.registry.gcs"}


def test_every_text_file_is_read_and_written_as_utf_8() -> None:
    """The locale of a machine decides where nothing is stated."""
    unstated = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            stated = {keyword.arg for keyword in node.keywords}
            modes = [given.value for given in node.args if isinstance(given, ast.Constant)]
            text = called in ("read_text", "write_text") and isinstance(node.func, ast.Attribute)
            text |= called == "open" and any(isinstance(mode, str) and set(mode) <= set("rwax+t") for mode in modes)
            if text and "encoding" not in stated:
                unstated.append(f"{name}:{node.lineno}")
    assert unstated == []

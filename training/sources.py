"""The files of the project that a module depends on, found by its imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import serving

_TRAINING = Path(__file__).parent
_SERVING = Path(serving.__file__).parent
_ROOTS = {"training": _TRAINING, "serving": _SERVING}
# Modules that determine no output of a step: they move bytes whose digests other code checks, they only talk, or they
# define values of the configuration, which count by themselves.
_LEFT_OUT = (
    "serving.storage",
    "training.config",
    "training.presets",
    "training.progress",
    "training.quiet",
    "training.registry",
    "training.tracking",
)
# Files that a module reads, as patterns beside its folder.
_READ = {
    "training.templating": (_TRAINING, "templates/*"),
    "serving.detection.files": (_SERVING, "detection/*.tflite"),
}


def closure(files: Iterable[Path]) -> dict[str, Path]:
    """Return the modules of training and serving that some source files import, directly or not, by dotted name."""
    found: dict[str, Path] = {}
    waiting = list(files)
    while waiting:
        for name in _imports(waiting.pop()):
            path = _path(name)
            if path is not None and name not in found and not name.startswith(_LEFT_OUT):
                found[name] = path
                waiting.append(path)
    return found


@cache
def digests(module: str) -> dict[str, str]:
    """Return a digest for each file that determines what a module of training does, by its path in the project.

    Comments, docstrings and the layout of Python code do not count. The lock files count: they determine the packages.
    """
    path = _path(module)
    if path is None:
        raise ValueError(f"{module} is no module")
    modules = {module: path, **closure([path])}
    files = set(modules.values())
    for name, (folder, pattern) in _READ.items():
        if name in modules:
            files |= set(folder.glob(pattern))
    files |= set(_TRAINING.glob("requirements-[cg]pu.txt"))
    return {_named(file): _digest(file) for file in sorted(files)}


def _imports(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, lazy imports included."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _path(name: str) -> Path | None:
    """Return the file of a module or package of the project, None for another name."""
    package, *inner = name.split(".")
    if package not in _ROOTS:
        return None
    place = _ROOTS[package].joinpath(*inner)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _named(file: Path) -> str:
    for name, root in _ROOTS.items():
        if file.is_relative_to(root):
            return f"{name}/{file.relative_to(root).as_posix()}"
    raise ValueError(f"{file} is no file of the project")


def _digest(file: Path) -> str:
    if file.suffix != ".py":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return hashlib.sha256(ast.dump(_Bare().visit(ast.parse(file.read_bytes()))).encode()).hexdigest()


class _Bare(ast.NodeTransformer):
    """Remove docstrings and other texts that stand alone."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node

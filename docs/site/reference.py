"""The generated half of the reference: Markdown made from the code that it describes."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from age_gender.__main__ import parser as client_parser
from serving import release
from serving.api import Api
from serving.inference import InferenceService
from serving.openapi.document import document
from serving.predictor import Predictor
from serving.settings import BUNDLED_RELEASE, Settings, variables
from training import config
from training.__main__ import parser as training_parser
from training.deployment import config as deployment_config
from training.presets import PRESETS

# The bundled manifest's long arrays are shown by their first numbers.
_SHORT = 60


def settings() -> str:
    """Return the table of the function's environment variables."""
    return _table(
        ("setting", "default", "meaning"),
        ((f"`{known.name}`", f"`{known.default}`" if known.default else "", known.meaning) for known in variables()),
    )


def openapi() -> dict[str, Any]:
    """Return the OpenAPI description with default settings, and placeholders for the release in its paths."""
    bundled, defaults = release.load(str(BUNDLED_RELEASE)), Settings()
    routes = Api(defaults, InferenceService(Predictor(bundled), defaults)).routes
    described = document(defaults, bundled, routes)
    named = ((path.replace(bundled.name, "<name>"), methods) for path, methods in described["paths"].items())
    return described | {"paths": {path.replace(bundled.version, "<version>"): methods for path, methods in named}}


def http() -> str:
    """Return every route of the OpenAPI description, then its schemas."""
    described = openapi()
    routes = [
        (f"`{method.upper()} {path}`", operation["summary"], ", ".join(operation["responses"]))
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post"} and not path.endswith((".css", ".js"))
    ]
    parts = ["## Routes", "", _table(("route", "purpose", "status"), routes), "", "## Schemas"]
    for name, schema in described["components"]["schemas"].items():
        parts += ["", f"### {name}", "", schema.get("description", ""), "", _properties(schema)]
    return "\n".join(parts)


def cli() -> str:
    """Return the help of every command of both programs."""
    programs = (("age-gender", client_parser()), ("python -m training", training_parser()))
    return "\n".join(line for name, program in programs for line in _program(name, program))


def presets() -> str:
    """Return what each preset trains with, and what its gate asks for."""
    parts = []
    for title, part in (("Training", "train"), ("Gate", "gate"), ("Preparation", "prepare")):
        rows = {name: dataclasses.asdict(getattr(preset, part)) for name, preset in PRESETS.items()}
        names = next(iter(rows.values()))
        table = ((f"`{name}`", *(_value(row[name]) for row in rows.values())) for name in names)
        parts += [f"## {title}", "", _table(("", *(f"`{preset}`" for preset in rows)), table), ""]
    return "\n".join(parts)


def configuration() -> str:
    """Return every dataclass of numbers with its defaults and meanings."""
    parts = []
    for module in (config, deployment_config):
        for name, found in inspect.getmembers(module, dataclasses.is_dataclass):
            if found.__module__ == module.__name__:
                meanings = _meanings(found)
                rows = (
                    (f"`{field.name}`", _default(field), meanings.get(field.name, ""))
                    for field in dataclasses.fields(found)
                )
                parts += [f"### {name}", "", str(found.__doc__), "", _table(("name", "default", "meaning"), rows), ""]
    return "\n".join(parts)


def manifest() -> str:
    """Return every member of the bundled release's manifest with its type and value."""
    described = json.loads((BUNDLED_RELEASE / release.MANIFEST).read_text(encoding="utf-8"))
    return _table(("member", "type", "in the bundled release"), _members(described))


def _members(value: Any, name: str = "") -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _members(member, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _members(value[0], f"{name}[]")
    else:
        kind = {bool: "true or false", int: "integer", float: "number", str: "string", list: "array"}
        text = json.dumps(value)
        shown = text if len(text) <= _SHORT else f"{text[:_SHORT]} …"
        yield f"`{name}`", kind.get(type(value), "object or null"), f"`{shown}`"


def _program(name: str, program: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f"## {name}", "", _plain(program.description))
    (commands,) = (action for action in program._actions if isinstance(action, argparse._SubParsersAction))
    for command, parser in commands.choices.items():
        rows = [
            (f"`{', '.join(action.option_strings) or action.metavar or action.dest}`", _help(parser, action))
            for action in parser._actions
            if action.dest != "help"
        ]
        yield from ("", f"### {name} {command}", "", _plain(parser.description), "")
        yield _table(("argument", "meaning"), rows) if rows else ""
        if parser.epilog:
            yield from ("", _plain(parser.epilog))
    yield ""


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = _plain(parser._get_formatter()._expand_help(action) if action.help else "")
    choices = None if isinstance(action.choices, range) else action.choices
    return text + (f" (one of {', '.join(map(str, choices))})" if choices else "")


def _plain(text: str | None) -> str:
    """Return a parser's text with Markdown's own characters escaped, except in code."""
    parts = " ".join((text or "").split()).split("`")
    parts[::2] = (re.sub(r"[*_<\[\]]", r"\\\g<0>", part).replace("\\<", "&lt;") for part in parts[::2])
    return "`".join(parts)


def _properties(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = (
        (f"`{name}`", _kind(member), "yes" if name in required else "no", member.get("description", ""))
        for name, member in schema.get("properties", {}).items()
    )
    table = [*rows]
    return _table(("member", "type", "always present", "meaning"), table) if table else ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(map(_kind, schema[several]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    return f"array of {_kind(schema['items'])}" if kind == "array" and "items" in schema else kind


def _meanings(described: Any) -> dict[str, str]:
    """Field -> its docstring, the string literal below it."""
    body = next(node.body for node in ast.parse(inspect.getsource(described)).body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{type(field.default_factory()).__name__}`"
    return "" if field.default is dataclasses.MISSING else _value(field.default)


def _value(value: object) -> str:
    if value in ("", ()):
        return ""
    if isinstance(value, dict):
        return "default"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = [*header]
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

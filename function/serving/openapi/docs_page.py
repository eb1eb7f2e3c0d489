"""The OpenAPI description as one readable page: no script, no outside asset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from http import HTTPStatus

from serving.openapi.schemas import JsonObject

# They work everywhere alike and are told of once, in the introduction.
_UNLISTED = ("head", "options")
# format -> what to call it
_KINDS = {"binary": "file", "byte": "base64 text"}


def page(document: JsonObject) -> bytes:
    """The page as UTF-8 HTML."""
    info = document["info"]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<title>{escape(info["title"])}: the HTTP interface</title>\n<link rel="icon" href="data:,">',
            '<link rel="stylesheet" href="page.css">\n<link rel="stylesheet" href="docs.css">\n</head>',
            f'<body class="docs">\n<main>\n<h1>{escape(info["title"])}: the HTTP interface</h1>',
            f'<p>Release {_code(info["version"])}. <a href="openapi.json">As OpenAPI {document["openapi"]}</a>, or '
            '<a href="./">the page that uses it</a>.</p>',
            *(f"<p>{_prose(part)}</p>" for part in info["description"].split("\n\n")),
            *_operations(document),
            "<h2>Bodies</h2>",
            *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
            "</main>\n</body>\n</html>\n",
        ]
    ).encode()


def _operations(document: JsonObject) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        # Paths that do the same are told of together.
        alike: dict[str, list[str]] = {}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"] and method not in _UNLISTED:
                    told = _operation(operation, document)
                    alike.setdefault(told, []).append(f"{method.upper()} {path}")
        for told, names in alike.items():
            yield f"<section>\n<h3>{'<br>'.join(map(_code, names))}</h3>\n{told}\n</section>"


def _operation(operation: JsonObject, document: JsonObject) -> str:
    parts = [f"<p>{escape(operation['summary'])}.{' Asks for the API key.' if 'security' in operation else ''}</p>"]
    if body := operation.get("requestBody"):
        parts.append(f"<p>{_prose(body['description'])}</p>")
        parts.append(
            _table("Request body", [(_code(media), _content(each)) for media, each in body["content"].items()])
        )
    rows = []
    for status, response in operation["responses"].items():
        told = _resolve(response, document)
        holds = "".join(f"<br>{_code(media)} {_content(each)}" for media, each in told.get("content", {}).items())
        rows.append((f"{status} {HTTPStatus(int(status)).phrase}", _prose(told["description"]) + holds))
    parts.append(_table("Answers", rows))
    return "\n".join(parts)


def _content(content: JsonObject) -> str:
    example = content.get("example")
    shown = f"<pre>{escape(_short(example))}</pre>" if example else ""
    return _type(content["schema"]) + shown


def _short(example: object) -> str:
    text = json.dumps(example, indent=1)
    return "\n".join(line if len(line) < 80 else f'{line[:60]}…"' for line in text.splitlines())


def _schema(name: str, schema: JsonObject) -> str:
    required = schema.get("required", [])
    rows = [
        (
            _code(member) + ("" if member in required else " <small>optional</small>"),
            f"{_type(each)} {_prose(each.get('description', ''))}",
        )
        for member, each in schema["properties"].items()
    ]
    told = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
    return f'<section id="{escape(name)}">\n<h3>{escape(name)}</h3>\n{told}\n{_table("Members", rows)}\n</section>'


def _type(schema: JsonObject) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "const" in schema or "enum" in schema:
        return " or ".join(_code(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema["type"] == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list of {_type(schema['items'])}{most}"
    if "properties" in schema:
        return "; ".join(f"{_code(name)}: {_type(each)}" for name, each in schema["properties"].items())
    kind = str(_KINDS.get(schema.get("format", ""), schema["type"]))
    return escape(f"{kind} {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else kind)


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    body = "\n".join(f'<tr><th scope="row">{left}</th><td>{right}</td></tr>' for left, right in rows)
    return f"<table>\n<caption>{title}</caption>\n<tbody>\n{body}\n</tbody>\n</table>"


def _resolve(response: JsonObject, document: JsonObject) -> JsonObject:
    if "$ref" not in response:
        return response
    found: JsonObject = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def _prose(text: str) -> str:
    """Text with `code` in back quotes."""
    return "".join(_code(part) if number % 2 else escape(part) for number, part in enumerate(text.split("`")))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"

"""The OpenAPI description as one web page without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from http import HTTPStatus

from serving.openapi.schemas import JsonObject

# The introduction describes these once for all paths.
_UNLISTED = ("head", "options")
# Names of JSON Schema formats.
_KINDS = {"binary": "file", "byte": "base64 text"}
_SCHEMAS = "Schemas"


def page(document: JsonObject) -> bytes:
    """Return the page as UTF-8 HTML."""
    info = document["info"]
    title = f"{escape(info['title'])}: HTTP interface"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<title>{title}</title>\n<link rel="icon" href="data:,">',
            '<link rel="stylesheet" href="page.css">\n<link rel="stylesheet" href="docs.css">\n</head>',
            f'<body class="docs">\n<main>\n<h1>{title}</h1>',
            f'<p>Release {_code(info["version"])}. <a href="openapi.json">OpenAPI {document["openapi"]}</a>. '
            '<a href="./">Web page</a>.</p>',
            *_contents(document),
            *map(_block, info["description"].split("\n\n")),
            *_operations(document),
            _heading(_SCHEMAS),
            *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
            "</main>\n</body>\n</html>\n",
        ]
    ).encode()


def _block(text: str) -> str:
    """Return a paragraph or a list of the introduction as HTML."""
    if not text.startswith("- "):
        return f"<p>{_prose(text)}</p>"
    items = "".join(f"<li>{_prose(item)}</li>" for item in text.removeprefix("- ").split("\n- "))
    return f"<ul>{items}</ul>"


def _heading(title: str) -> str:
    return f'<h2 id="{_anchor(title)}">{escape(title)}</h2>'


def _anchor(title: str) -> str:
    return "section-" + re.sub(r"\W+", "-", title.lower())


def _contents(document: JsonObject) -> Iterator[str]:
    titles = [*(tag["name"] for tag in document["tags"]), _SCHEMAS]
    items = "".join(f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title in titles)
    yield f'<nav aria-label="Contents">\n<ul>{items}</ul>\n</nav>'


def _operations(document: JsonObject) -> Iterator[str]:
    for tag in document["tags"]:
        yield _heading(tag["name"])
        # Equal operations share one section.
        alike: dict[str, list[str]] = {}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"] and method not in _UNLISTED:
                    alike.setdefault(_operation(operation, document), []).append(f"{method.upper()} {path}")
        for described, names in alike.items():
            yield f"<section>\n<h3>{'<br>'.join(map(_code, names))}</h3>\n{described}\n</section>"


def _operation(operation: JsonObject, document: JsonObject) -> str:
    key = " Requires the API key." if "security" in operation else ""
    parts = [f"<p>{escape(operation['summary'])}.{key}</p>"]
    if queries := operation.get("parameters"):
        asked = [(_code(each["name"]), f"{_type(each['schema'])}. {_prose(each['description'])}") for each in queries]
        parts.append(_table("Query parameters", asked))
    if body := operation.get("requestBody"):
        parts.append(f"<p>{_prose(body['description'])}</p>")
        parts.append(
            _table("Request body", [(_code(media), _content(each)) for media, each in body["content"].items()])
        )
    rows = []
    for status, reference in operation["responses"].items():
        response = _resolve(reference, document)
        described, phrase = response["description"], HTTPStatus(int(status)).phrase
        lines = [] if described == phrase else [_prose(described)]
        lines += [f"{_code(media)} {_content(each)}" for media, each in response.get("content", {}).items()]
        rows.append((f"{status} {phrase}", "<br>".join(lines)))
    parts.append(_table("Responses", rows))
    return "\n".join(parts)


def _content(content: JsonObject) -> str:
    example = content.get("example")
    shown = f"<pre>{escape(_short(example))}</pre>" if example else ""
    return _type(content["schema"]) + shown


def _short(example: object) -> str:
    text = json.dumps(example, indent=1)
    return "\n".join(line if len(line) < 80 else f'{line[:60]}…"' for line in text.splitlines())


def _schema(name: str, schema: JsonObject) -> str:
    described = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
    content = _members(schema) if "properties" in schema else f"<p>{_type(schema)}</p>"
    return f'<section id="{escape(name)}">\n<h3>{escape(name)}</h3>\n{described}\n{content}\n</section>'


def _members(schema: JsonObject) -> str:
    required = schema.get("required", [])
    rows = [
        (
            _code(member) + ("" if member in required else " <small>optional</small>"),
            _type(each) + (f"<div>{_prose(each['description'])}</div>" if "description" in each else ""),
        )
        for member, each in schema.get("properties", {}).items()
    ]
    return _table("Members", rows)


def _type(schema: JsonObject) -> str:
    """Return a schema in a few words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "const" in schema or "enum" in schema:
        return " or ".join(_code(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema["type"] == "array":
        return f"{_count(schema)} {_type(schema['items'])}"
    if "properties" in schema:
        members = (f"<li>{_code(name)}: {_type(each)}</li>" for name, each in schema["properties"].items())
        return f"<ul>{''.join(members)}</ul>"
    return escape(_simple(schema))


def _simple(schema: JsonObject) -> str:
    kind = str(_KINDS.get(schema.get("format", ""), schema["type"]))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return kind
    return f"{kind}, at least {least}" if most is None else f"{kind} {least} to {most}"


def _count(schema: JsonObject) -> str:
    most = schema.get("maxItems")
    if most is None:
        return "list of"
    return f"list of {most}:" if most == schema.get("minItems") else f"list of up to {most}:"


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    body = "\n".join(f'<tr><th scope="row">{left}</th><td>{right}</td></tr>' for left, right in rows)
    return f"<table>\n<caption>{title}</caption>\n<tbody>\n{body}\n</tbody>\n</table>"


def _resolve(response: JsonObject, document: JsonObject) -> JsonObject:
    if "$ref" not in response:
        return response
    found: JsonObject = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def _prose(text: str) -> str:
    """Return text with `code` in back quotes as HTML."""
    return "".join(_code(part) if number % 2 else escape(part) for number, part in enumerate(text.split("`")))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"

"""Requests and responses against Google's discovery documents, which describe the REST methods of each API.

The documents are those of google-api-python-client. They describe JSON. The XML API of Cloud Storage and the further
requests of a resumable upload are not in them, and nothing here judges those.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tests.fake_gcp.errors import ApiError

APIS = ("run.v2", "cloudbuild.v1", "logging.v2", "sts.v1", "iamcredentials.v1", "storage.v1")
Json = dict[str, Any]
# Of every API: "$alt" is another name of "alt" (Google Cloud, "System parameters").
_SYSTEM_PARAMETERS = frozenset({"$alt", "$fields", "$prettyPrint"})
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
_FORMATS = {
    "byte": r"[A-Za-z0-9+/_-]*={0,2}",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "google-datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)",
    "google-duration": r"-?\d+(\.\d{1,9})?s",
    "google-fieldmask": r"[\w.,`-]*",
    "int64": r"-?\d+",
    "uint64": r"\d+",
}


@dataclass(frozen=True)
class Method:
    """One method of an API."""

    id: str
    api: str
    parameters: dict[str, Json]
    request: Json | None
    response: Json | None

    def check_request(self, query: dict[str, str], body: object = None) -> None:
        """Refuse query parameters and a body that the document does not describe.

        Args:
            query: parameters of the address.
            body: parsed JSON, None without a body.

        Raises:
            ApiError: 400 in Google's words.
        """
        for name, value in query.items():
            if name not in self.parameters.keys() | _SYSTEM_PARAMETERS:
                raise _invalid(f'Unknown name "{name}": Cannot bind query parameter.')
            if name in self.parameters:
                self._check_parameter(name, value)
        missing = [n for n, p in self.parameters.items() if p.get("required") and p["location"] == "query"]
        if absent := [name for name in missing if name not in query]:
            raise ApiError(400, f"Required parameter: {absent[0]}")
        if body is None:
            return
        if self.request is None:
            raise _invalid("The method has no body.")
        if fault := _fault(self.api, self.request, body, ""):
            raise _invalid(fault)
        if "updateMask" in query and isinstance(body, dict) and (given := _read_only(self.api, self.request, body)):
            raise ApiError(400, f"{given[0]} is an output. The field mask says that it changes.")

    def check_response(self, body: object) -> None:
        """Assert that the document describes an answer of a fake."""
        fault = _fault(self.api, self.response, body, "") if self.response else ""
        assert not fault, f"the fake's answer to {self.id} is none of Google's: {fault}"

    def _check_parameter(self, name: str, value: str) -> None:
        described = self.parameters[name]
        typed: object = value
        if described["type"] == "boolean":
            typed = {"true": True, "false": False}.get(value, value)
        elif described["type"] in ("integer", "number") and re.fullmatch(r"-?\d+", value):
            typed = int(value)
        if fault := _fault(self.api, described, typed, name):
            raise _invalid(fault)


def method(verb: str, path: str) -> Method:
    """Return the method of an HTTP method and the path of an address, in which names are percent-encoded.

    Raises:
        ApiError: 404 if no API has it.
    """
    for pattern, found in _methods(verb):
        if pattern.fullmatch(path):
            return found
    raise ApiError(404, f"The requested URL {path} was not found on this server: no API of the fake has {verb} there.")


@cache
def _document(api: str) -> Json:
    path = files("googleapiclient") / "discovery_cache" / "documents" / f"{api}.json"
    found: Json = json.loads(path.read_text())
    return found


@cache
def _methods(verb: str) -> list[tuple[re.Pattern[str], Method]]:
    """The patterns of paths and the methods of one HTTP method."""
    found = []
    for api in APIS:
        document = _document(api)
        for each in _walk(document):
            if each["httpMethod"] != verb:
                continue
            parameters = {**document["parameters"], **each.get("parameters", {})}
            described = Method(each["id"], api, parameters, each.get("request"), each.get("response"))
            found += [(_pattern(path, parameters), described) for path in _paths(document, each)]
    return found


def _walk(resource: Json) -> list[Json]:
    below = [each for child in resource.get("resources", {}).values() for each in _walk(child)]
    return [*resource.get("methods", {}).values(), *below]


def _paths(document: Json, described: Json) -> list[str]:
    """The templates of a method's paths: its own, and those that upload or download an object."""
    own = f"/{document['servicePath']}{described['path']}"
    upload = described.get("mediaUpload", {}).get("protocols", {}).get("simple", {}).get("path")
    download = f"/download{own}" if described.get("useMediaDownloadService") else None
    return [path for path in (own, upload, download) if path]


def _pattern(template: str, parameters: dict[str, Json]) -> re.Pattern[str]:
    """The regular expression of a path, for example of v2/{+name}/revisions."""
    parts = re.split(r"\{(\+?\w+)\}", template)
    for place in range(1, len(parts), 2):
        name = parts[place].removeprefix("+")
        parts[place] = parameters[name].get("pattern", "^[^/]+$")[1:-1]
    parts[::2] = map(re.escape, parts[::2])
    return re.compile("".join(parts))


def _invalid(fault: str) -> ApiError:
    return ApiError(400, f"Invalid JSON payload received. {fault}")


def _fault(api: str, described: Json, value: object, place: str) -> str:
    """Say what of a value the schema does not allow, or ""."""
    if "$ref" in described:
        described = _document(api)["schemas"][described["$ref"]]
    # In Google's JSON, null is the default of every field.
    if described.get("type", "any") == "any" or value is None:
        return ""
    if not _fits(described, value):
        kind = "enum" if "enum" in described else described.get("format", described["type"])
        return f"Invalid value at '{place}' ({kind}), {json.dumps(value)}"
    if isinstance(value, dict):
        return _object_fault(api, described, value, place)
    if isinstance(value, list):
        faults = (_fault(api, described["items"], item, f"{place}[{number}]") for number, item in enumerate(value))
        return next(filter(None, faults), "")
    return ""


def _fits(described: Json, value: object) -> bool:
    """Whether a value has the type, the format and the range that a schema names."""
    kind, form, number = described["type"], described.get("format", ""), type(value) is int
    if "enum" in described:
        # Google's generated clients send numbers, which the documents do not list.
        return number or value in described["enum"]
    if kind == "string" and form in ("int64", "uint64") and number:
        return True
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return form not in _FORMATS or not isinstance(value, str) or bool(re.fullmatch(_FORMATS[form], value))


def _object_fault(api: str, described: Json, value: Json, place: str) -> str:
    properties, further = described.get("properties", {}), described.get("additionalProperties")
    for name, item in value.items():
        # Parsers of protobuf's JSON accept a field's own name besides its lowerCamelCase form.
        inner = properties.get(name, properties.get(_camel_case(name), further))
        if inner is None:
            return f"Unknown name \"{name}\" at '{place}': Cannot find field."
        if fault := _fault(api, inner, item, f"{place}.{name}".lstrip(".")):
            return fault
    return ""


def _camel_case(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def _read_only(api: str, described: Json, body: Json) -> list[str]:
    """The fields of a body with a value that only the API sets."""
    properties = _document(api)["schemas"][described["$ref"]]["properties"]
    return [
        name
        for name, value in body.items()
        if value and properties.get(name, properties.get(_camel_case(name), {})).get("readOnly")
    ]

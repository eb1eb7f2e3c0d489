"""Write google-schema.json: the schema of the provider google, limited to the resources in infra/.

The wheel of cdktn-provider-google contains a class for each resource, generated from the provider's schema. This script
reads these classes. Run it again when infra/ uses a new resource type:

    pip download --no-deps cdktn-provider-google==21.1.0
    python tests/infra/extract_schema.py cdktn_provider_google-21.1.0-py3-none-any.whl
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

INFRA = Path(__file__).parents[2] / "infra"
SCHEMA = Path(__file__).with_name("google-schema.json")

CLASS = re.compile(r"^class (\w+) extends cdktn\.\w+ \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(
    r"^    // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(.*?^    \}\n)",
    re.MULTILINE | re.DOTALL,
)
NESTED = re.compile(r'new (\w+?)(List|OutputReference)\(this, "\w+"(?:, (true|false))?\)')
TYPES = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"]}


def main(wheel: Path) -> None:
    """Write the schema of the provider and of every resource type in infra/."""
    source = "\n".join(file.read_text() for file in sorted(INFRA.glob("*.tf")))
    kinds = sorted(set(re.findall(r'^resource "google_(\w+)"', source, re.MULTILINE)))
    with zipfile.ZipFile(wheel) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        generated = _read(archive.read(inner), ["provider", *(kind.replace("_", "-") for kind in kinds)])
    provider = _block(generated["provider"], "GoogleProvider")
    # Drop `alias`, a meta-argument, and the unused endpoint overrides of 200 APIs.
    needless = [name for name in provider["attributes"] if name == "alias" or name.endswith("_custom_endpoint")]
    for name in needless:
        del provider["attributes"][name]
    schema = {"provider": provider} | {f"google_{k}": _resource(generated[k.replace("_", "-")]) for k in kinds}
    lines = (f"{json.dumps(kind)}: {json.dumps(block, sort_keys=True)}" for kind, block in schema.items())
    SCHEMA.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _read(tgz: bytes, folders: list[str]) -> dict[str, dict[str, str]]:
    """Return the class bodies by folder and name."""
    wanted = {f"package/lib/{folder}/index.js": folder for folder in folders}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tgz)) as package:
        for member in package:
            stream = package.extractfile(member) if member.name in wanted else None
            if stream is not None:
                found[wanted[member.name]] = dict(CLASS.findall(stream.read().decode()))
    return found


def _resource(classes: dict[str, str]) -> dict[str, Any]:
    [name] = [name for name, body in classes.items() if "static tfResourceType" in body]
    return _block(classes, name)


def _block(classes: dict[str, str], name: str) -> dict[str, Any]:
    block: dict[str, Any] = {"attributes": {}, "blocks": {}}
    for field, computed, optional, required, body in FIELD.findall(classes[name]):
        said = {"computed": computed, "optional": optional, "required": required}
        flags = {flag: True for flag, value in said.items() if value == "true"}
        nested = NESTED.search(body)
        if nested is None:
            block["attributes"][field] = {"type": _type(body), **flags}
        elif optional == "true" or required == "true":
            block["blocks"][field] = {
                "nesting": "SET" if nested[3] == "true" else "LIST",
                "min_items": int(required == "true"),
                "max_items": int(nested[2] == "OutputReference"),
                **_block(classes, f"{nested[1]}OutputReference"),
            }
        else:
            inner = _block(classes, f"{nested[1]}OutputReference")["attributes"]
            object_type = ["object", {key: value["type"] for key, value in inner.items()}]
            block["attributes"][field] = {"type": ["list", object_type], **flags}
    return block


def _type(body: str) -> Any:
    """Return the type in Terraform's JSON format."""
    if "StringMap" in body:
        return ["map", "string"]
    getter = re.search(r"this\.get(String|Number|Boolean|List)Attribute\(", body)
    if getter is None:
        # The provider's class has no getters, since it stores its arguments.
        return "dynamic"
    return ["set", "string"] if "Fn.tolist" in body else TYPES[getter[1]]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

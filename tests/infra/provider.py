"""A fake provider google: serve the schema in google-schema.json to Terraform.

With it Terraform checks every resource, argument and type of infra/ without a download. Only the real provider checks
values, such as names of regions and roles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from tfplugin_proto import tfplugin6_5_pb2 as tf

SCHEMA = Path(__file__).with_name("google-schema.json")


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve on loopback. Yield the environment variables that direct Terraform to it."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin6.Provider", _methods())])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    # "Test" prevents Terraform from stopping the process.
    plugin = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({"registry.terraform.io/hashicorp/google": plugin})}
    finally:
        server.stop(grace=None)


def _methods() -> dict[str, Any]:
    """Return the provider methods that `terraform validate` calls."""
    schema = _schema()
    return {
        "GetProviderSchema": _method(tf.GetProviderSchema.Request, lambda: schema),
        "ValidateProviderConfig": _method(tf.ValidateProviderConfig.Request, tf.ValidateProviderConfig.Response),
        "ValidateResourceConfig": _method(tf.ValidateResourceConfig.Request, tf.ValidateResourceConfig.Response),
        "StopProvider": _method(tf.StopProvider.Request, tf.StopProvider.Response),
    }


def _method(request: Any, response: Callable[[], Any]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: response(),
        request_deserializer=request.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _schema() -> tf.GetProviderSchema.Response:
    kinds = json.loads(SCHEMA.read_text())
    return tf.GetProviderSchema.Response(
        provider=tf.Schema(block=_block(kinds.pop("provider"))),
        resource_schemas={kind: tf.Schema(block=_block(block)) for kind, block in kinds.items()},
    )


def _block(block: dict[str, Any]) -> tf.Schema.Block:
    return tf.Schema.Block(
        attributes=[
            tf.Schema.Attribute(name=name, **(attribute | {"type": json.dumps(attribute["type"]).encode()}))
            for name, attribute in block["attributes"].items()
        ],
        block_types=[
            tf.Schema.NestedBlock(
                type_name=name,
                nesting=nested["nesting"],
                min_items=nested["min_items"],
                max_items=nested["max_items"],
                block=_block(nested),
            )
            for name, nested in block["blocks"].items()
        ],
    )

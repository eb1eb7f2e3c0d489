"""Stands in for provider google: answers Terraform's questions about the schema, from google-schema.json.

Terraform then checks every resource, argument and type of infra/ without a download. Values, such as the name of a
region or of a role, are the real provider's to check.
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
    """Serve on loopback; gives the environment in which Terraform finds it."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin6.Provider", _methods())])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    # "Test" tells Terraform that the process is not its own to end.
    plugin = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({"registry.terraform.io/hashicorp/google": plugin})}
    finally:
        server.stop(grace=None)


def _methods() -> dict[str, Any]:
    """Each question that `terraform validate` asks a provider: the schema, and whether a configuration is fine."""
    schema = _schema()
    return {
        "GetProviderSchema": _method(tf.GetProviderSchema.Request, lambda: schema),
        "ValidateProviderConfig": _method(tf.ValidateProviderConfig.Request, tf.ValidateProviderConfig.Response),
        "ValidateResourceConfig": _method(tf.ValidateResourceConfig.Request, tf.ValidateResourceConfig.Response),
        "StopProvider": _method(tf.StopProvider.Request, tf.StopProvider.Response),
    }


def _method(request: Any, answer: Callable[[], Any]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: answer(),
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

"""A statement of provenance, read with in-toto's own library."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message


def read(data: bytes | str) -> dict[str, Any]:
    """Return a statement that has what in-toto and SLSA require, and no member that they do not know."""
    found: dict[str, Any] = json.loads(data)
    Statement.copy_from_pb(ParseDict(found, Message())).validate()
    predicate = ParseDict(found["predicate"], Provenance())
    # SLSA, "Provenance v1": required members.
    assert predicate.build_definition.build_type
    assert predicate.build_definition.external_parameters
    assert predicate.run_details.builder.id
    return found

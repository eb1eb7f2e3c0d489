"""The TFLite interpreter, from ai-edge-litert or from its predecessor tflite-runtime."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def _interpreter() -> Any:
    package = find_spec("ai_edge_litert")
    if package is None:
        from tflite_runtime.interpreter import Interpreter

        return Interpreter
    # The package's __init__ loads a second library of 8 MB for accelerators, which the interpreter does not use.
    # An empty package in its place saves 2 MB of memory and a millisecond of the start.
    sys.modules.setdefault(package.name, module_from_spec(package))
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter


Interpreter = _interpreter()

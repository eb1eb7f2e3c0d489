"""The TFLite runtime: ai-edge-litert or, where that is not installed, its predecessor tflite-runtime."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def _interpreter() -> Any:
    package = find_spec("ai_edge_litert")
    if package is None:
        from tflite_runtime.interpreter import Interpreter

        return Interpreter
    # The package's own first lines load a second library of 8 MB, for accelerators, of which the interpreter uses
    # nothing: passed over, a start is spared 2 MB of memory and a millisecond.
    sys.modules.setdefault(package.name, module_from_spec(package))
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter


Interpreter = _interpreter()

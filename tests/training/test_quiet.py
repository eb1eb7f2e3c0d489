"""Messages of the runtime are hidden; those of the program and of a crash are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import os, sys, warnings
from training.quiet import hide_runtime_messages
hide_runtime_messages()
def native(text): os.write(2, text.encode() + b"\\n")
native("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
native("I0000 00:00:1.0 1 port.cc:153] oneDNN custom operations are on. You may see ...")
native("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
native("fully_quantize: 0, inference_type: 6, input_inference_type: FLOAT32")
warnings.warn("Statistics for quantized inputs were expected, but not specified; continuing anyway.")
warnings.warn("a warning of ours")
print("said by Python", file=sys.stderr)
native("said by C++")
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"), flush=True)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}"}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_messages_of_the_runtime_are_hidden_and_others_are_not() -> None:
    done = run(PROGRAM)
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("  ")]
    assert sorted(said) == [
        "<string>:11: UserWarning: a warning of ours",
        "said by C++",
        "said by Python",
    ]


def test_the_numerics_are_not_touched() -> None:
    assert run(PROGRAM).stdout == "None\n"


def test_the_last_words_of_a_crash_arrive() -> None:
    done = run(PROGRAM + "native('check failed'); os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert "check failed" in done.stderr


def test_a_start_of_tensorflow_is_silent() -> None:
    program = (
        "from training.quiet import hide_runtime_messages; hide_runtime_messages()\n"
        "import tensorflow as tf; print(int(tf.constant(1) + 1))"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("2\n", "")

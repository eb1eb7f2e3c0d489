"""The command line of the training side: one sub-command a step."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# TensorFlow prints pages about its build before it says anything of use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from training.config import PRESETS, PrepareConfig
from training.errors import StepError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training")
    steps = parser.add_subparsers(dest="step", required=True)
    p = steps.add_parser("prepare"); p.add_argument("--data", type=Path, required=True); p.add_argument("--work", type=Path, default=Path("build/pipeline"))
    t = steps.add_parser("train"); t.add_argument("--preset", choices=PRESETS, default="default"); t.add_argument("--resume", action="store_true"); t.add_argument("--work", type=Path, default=Path("build/pipeline"))
    a = parser.parse_args()
    if a.step == "prepare":
        from training.prepare import prepare
        print(prepare(a.data, a.work / "data", PrepareConfig()))
    else:
        from training.train import train
        print(train(a.work / "data", a.work / "model", PRESETS[a.preset].train, a.preset, a.resume))
    return 0

if __name__ == "__main__":
    sys.exit(main())

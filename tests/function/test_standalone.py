"""function/ is all that is deployed: a copy of it runs in an environment of its own requirements."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FUNCTION, ROOT
from tests.server import serve

# environment made by `make test` -> the runtime it must use
RUNTIMES = {".venv-run": "ai_edge_litert", ".venv-tflite": "tflite_runtime"}


def python(environment: str) -> Path:
    found = ROOT / environment / "bin" / "python"
    if not found.exists():
        pytest.skip(f"{environment} is not there: tflite-runtime needs Python 3.11; `make test` sets both up")
    return found


def run(environment: str, code: str, folder: Path) -> str:
    command = [str(python(environment)), "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def predict(environment: str, folder: Path, face: bytes) -> dict[str, Any]:
    with serve(folder, python(environment), HEADS="age,gender,ethnicity") as server:
        (prediction,) = server.post(face).json()["predictions"]
    return dict(prediction)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed") / "function"
    shutil.copytree(FUNCTION, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("environment", RUNTIMES)
def test_the_environment_holds_its_runtime_and_nothing_of_training(environment: str, alone: Path) -> None:
    code = (
        "import importlib.util as u, main, serving.predictor as p;"
        "absent = ('tensorflow', 'keras', 'training');"
        "print(p.Interpreter.__module__.split('.')[0], [n for n in absent if u.find_spec(n)])"
    )
    assert run(environment, code, alone) == f"{RUNTIMES[environment]} []"


def test_the_start_is_spared_the_accelerators_library(alone: Path) -> None:
    code = "import main; print('libLiteRt.so' in open('/proc/self/maps').read())"
    assert run(".venv-run", code, alone) == "False"


def test_the_start_imports_nothing_that_few_requests_need(alone: Path) -> None:
    ours = ("serving.manifest_v3", "serving.openapi", "serving.deepface", "serving.rekognition")
    rare = (*ours, "PIL.WebPImagePlugin", "PIL.AvifImagePlugin")
    assert run(".venv-run", f"import main, sys; print([n for n in {rare} if n in sys.modules])", alone) == "[]"


def test_a_prediction_does_not_load_the_detector(alone: Path) -> None:
    code = """
import main, sys
from serving.settings import BUNDLED_RELEASE
from werkzeug.test import EnvironBuilder
from flask import Flask, Request
def loaded():
    return sorted(name for name in sys.modules if name.startswith("serving.detection."))
def ask(path):
    with Flask("asked").app_context():
        environment = EnvironBuilder(path=path, method="POST", data=open(FACE, "rb").read()).get_environ()
        return main.predict(Request(environment)).status_code
print(ask("/predict"), ask("/predict?detect=false"), loaded())
print(ask("/detect"), loaded()[-1])
"""
    face = ROOT / "docs" / "example.jpg"
    said = run(".venv-run", code.replace("FACE", repr(str(face))), alone).splitlines()
    assert said == ["200 200 []", "200 serving.detection.search"]


def test_no_thread_of_the_start_is_left_when_gunicorn_forks(alone: Path) -> None:
    code = "import main, threading; print(main.INFERENCE.predictor.release.name, threading.active_count())"
    assert run(".venv-run", code, alone).endswith(" 1")


def test_both_runtimes_answer_the_same_face_alike(alone: Path, face: bytes) -> None:
    # Their int8 kernels round differently: measured on 500 faces by 0.2 years on average, by 3.2 at most.
    litert, tflite = (predict(environment, alone, face) for environment in RUNTIMES)
    assert tflite["age"] == pytest.approx(litert["age"], abs=2.0)
    for head in ("gender", "ethnicity"):
        assert tflite[head]["label"] == litert[head]["label"]
        assert tflite[head]["probability"] == pytest.approx(litert[head]["probability"], abs=0.06)

"""The entry point for functions-framework.

functions-framework --source function/main.py --target predict
"""

from __future__ import annotations

import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# functions-framework runs this file by its path. Its packages must be found from any working directory.
sys.path.insert(0, str(Path(__file__).parent))
# The function does not use numpy's linear algebra. Its threads and buffers would cost time and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Objects that imports create live forever: garbage collection meanwhile finds nothing.
gc.disable()

from serving import release, settings

try:
    SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as reason:
    sys.exit(f"cannot start: {reason}")
# Storage responds while numpy, Pillow and the runtime are imported below.
LOADING = release.Loading(SETTINGS.model_uri, SETTINGS.pins, SETTINGS.model_cache, SETTINGS.model_fetch_timeout)

from serving.predictor import Predictor

with ThreadPoolExecutor(1) as background:
    # The model's self-test runs while the server is imported below. No thread is left when gunicorn forks.
    PREDICTOR = background.submit(lambda: Predictor(LOADING.release()))

    from flask import Request, Response, current_app

    from serving import gunicorn_settings, logs, middleware, routes
    from serving.api import Api
    from serving.detection import DetectorError
    from serving.inference import InferenceService

try:
    INFERENCE = InferenceService(PREDICTOR.result(), SETTINGS)
    if SETTINGS.detect or SETTINGS.preload_detector:
        INFERENCE.preload()
except (release.ReleaseError, DetectorError) as reason:
    sys.exit(f"cannot start: {reason}")

API = Api(SETTINGS, INFERENCE)


def predict(request: Request) -> Response:
    """Respond to one request.

    Raises:
        Problem: the request fails.
    """
    return routes.dispatch(API.routes, request, SETTINGS.api_key)


if current_app:
    logs.setup(SETTINGS.log_level)
    gunicorn_settings.configure(SETTINGS)
    middleware.install(current_app, predict, SETTINGS, INFERENCE.predictor.release.version)

# The collector skips these objects from now on, so the server's processes share their memory.
gc.freeze()
gc.enable()

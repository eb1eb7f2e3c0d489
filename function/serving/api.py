"""The function's route table and its handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Request, Response, g

from serving import connections, memory, protocols, request_parsing, static_files
from serving.access import Handler
from serving.inference import InferenceService, busy
from serving.memory import Budget
from serving.problems import json_text
from serving.release import DETECTOR
from serving.request_stats import RequestStats
from serving.routes import Operation, Routes
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

if TYPE_CHECKING:
    from serving.summaries import Summaries

_SUMMARIZES = "Estimate the shares of genders and ages in many images, or in earlier answers"
_KSERVE = "Open Inference Protocol"
_PREDICTS = "Estimate age and gender of one or more aligned faces, in the order sent"
_DETECTS = "Find the faces of one or more whole images, and estimate age and gender of each"
_PREDICTION_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class Api:
    """Handlers of one release and its settings, and the table of their routes."""

    def __init__(self, settings: Settings, inference: InferenceService) -> None:
        self._settings = settings
        self._inference = inference
        self._release = inference.predictor.release
        self._model = self._release.identity()
        self._parsers = Budget(memory.parse_budget(settings.max_request_bytes))
        self.routes = self._table()

    def _table(self) -> Routes:
        release = self._release
        detect = Operation(
            self._detect,
            "Predictions",
            _DETECTS,
            schema="Detections",
            problems=_PREDICTION_PROBLEMS,
            keyed=True,
            body="images",
        )
        predict = detect._replace(
            handler=self._predict,
            summary=_DETECTS if self._settings.detect else _PREDICTS,
            schema="PredictionsOrDetections",
            choosable=True,
        )
        health = Operation(
            _fixed({"status": "ok", "model": self._model}),
            "Health",
            "The server's status and its release",
            schema="Health",
        )
        infer = Operation(
            self._infer,
            _KSERVE,
            "Estimate age and gender of one or more aligned faces, as tensors",
            schema="InferResponse",
            problems=_PREDICTION_PROBLEMS,
            keyed=True,
            body="tensors",
        )
        summarize = predict._replace(
            handler=self._summarize,
            tag="Demographics",
            summary=_SUMMARIZES,
            schema="Demographics",
            problems=(*_PREDICTION_PROBLEMS, HTTPStatus.CONFLICT, HTTPStatus.NOT_IMPLEMENTED),
            body="",
        )
        v1, v2 = f"/v1/models/{release.name}", f"/v2/models/{release.name}"
        table: Routes = {
            "/predict": {"POST": predict},
            "/detect": {"POST": detect},
            "/summarize": {"POST": summarize},
            "/": {"GET": _file("index.html", "The web page"), "POST": predict},
            "/model": {
                "GET": Operation(
                    self._manifest,
                    "Model",
                    "The release's manifest, and the detector's files",
                    schema="Manifest",
                    keyed=True,
                )
            },
            "/health": {"GET": health},
            "/openapi.json": {"GET": _static(self._openapi, "This description as OpenAPI", "application/json")},
            "/docs": {"GET": _static(self._docs, "This description as a web page", "text/html")},
            **{
                path: {"GET": _file(name, "A file of the web page")}
                for path, name in static_files.FILES.items()
                if path != "/"
            },
            f"{v1}:predict": {"POST": predict},
            v1: {
                "GET": Operation(
                    _fixed(protocols.model_status(release)),
                    "TensorFlow Serving",
                    "The model's status",
                    schema="ModelStatus",
                    keyed=True,
                )
            },
            "/v2": {"GET": _kserve(protocols.server_metadata(release), "The server's metadata", "ServerMetadata")},
            "/v2/health/live": {"GET": _kserve({"live": True}, "Whether the server is up", "Live")},
            "/v2/health/ready": {"GET": _kserve({"ready": True}, "Whether the model is ready", "Ready")},
        }
        for model in (v2, f"{v2}/versions/{release.version}"):
            metadata = protocols.model_metadata(release, self._settings.heads)
            table[model] = {"GET": _kserve(metadata, "The tensors of infer", "ModelMetadata", keyed=True)}
            table[f"{model}/ready"] = {
                "GET": _kserve(protocols.model_ready(release), "Whether the model is ready", "ModelReady")
            }
            table[f"{model}/infer"] = {"POST": infer}
        for path, method, operation in (
            (self._settings.health_route, "GET", health),
            (self._settings.predict_route, "POST", predict),
        ):
            if path:
                table[path] = table.get(path, {}) | {method: operation}
        self._add_dropins(table, predict)
        return table

    def _add_dropins(self, table: Routes, predict: Operation) -> None:
        """Add the operations of other services' clients that the settings switch on."""
        # Imported here: whoever has none of these clients does not pay for them.
        if self._settings.deepface:
            from serving import deepface

            handler = deepface.handler(self._settings, self._inference, self._reserved)
            summary = "Find the faces of an image, and estimate age and gender of each, as DeepFace does"
            table[deepface.PATH] = {
                "POST": predict._replace(handler=handler, tag="DeepFace", summary=summary, schema="Analysis", body="")
            }
        if self._settings.rekognition:
            from serving import rekognition

            handler = rekognition.handler(self._settings, self._inference, self._reserved, predict.handler)
            table["/"]["POST"] = predict._replace(handler=handler, authorize=rekognition.authorize)

    def _predict(self, request: Request) -> Response:
        return self._respond(request)

    def _detect(self, request: Request) -> Response:
        return self._respond(request, detect=True)

    def _summarize(self, request: Request) -> Response:
        return self._summaries.summarize(request)

    @cached_property
    def _summaries(self) -> Summaries:
        # Imported on the first request: whoever never summarizes does not pay for it.
        from serving.summaries import Summaries

        return Summaries(self._settings, self._inference, self._reserved)

    def _respond(self, request: Request, *, detect: bool = False) -> Response:
        with self._reserved(request) as deadline:
            asked = request_parsing.read(request, self._settings)
            g.stats = RequestStats(len(asked.images))
            infer = self._inference.detect if detect or asked.detect else self._inference.predict
            predictions = infer(asked.images, deadline, g.stats, probabilities=asked.probabilities)
            return _json({"predictions": predictions, "model": self._model})

    def _manifest(self, _: Request) -> Response:
        # Imported on the first request: the start does not pay for it.
        from serving.detection import files

        return _json({**self._release.manifest, DETECTOR: files.section()})

    def _infer(self, request: Request) -> Response:
        settings, release = self._settings, self._release
        with self._reserved(request) as deadline:
            data = request_parsing.body(request, settings)
            asked = protocols.infer_request(data, request.headers.get(protocols.HEADER_LENGTH, ""), settings.heads)
            images = request_parsing.check_count(asked.images, settings)
            g.stats = RequestStats(len(images))
            predictions = self._inference.predict(images, deadline, g.stats)
            return _json(protocols.infer_response(release, asked, predictions, settings.heads))

    @contextmanager
    def _reserved(self, request: Request) -> Iterator[Deadline]:
        """Reserve the memory that parsing takes, and return the request's deadline.

        Raises:
            Problem: 503, the memory was not free before the deadline.
        """
        deadline = connections.deadline(request.environ, self._settings.request_timeout)
        length = request.content_length
        amount = memory.parse_bytes(request.mimetype, self._settings.max_request_bytes if length is None else length)
        with ExitStack() as stack:
            try:
                stack.enter_context(self._parsers.reserve(amount, deadline))
            except DeadlineError as error:
                raise busy() from error
            yield deadline

    def _openapi(self, request: Request) -> Response:
        return static_files.cached(request, json_text(self._description).encode(), "application/json")

    def _docs(self, request: Request) -> Response:
        from serving.openapi import docs_page

        return static_files.cached(request, docs_page.page(self._description), static_files.content_type("docs.html"))

    @cached_property
    def _description(self) -> dict[str, Any]:
        # Imported on the first request: the start does not pay for it.
        from serving.openapi import document

        return document.document(self._settings, self._release, self.routes)


def _json(body: dict[str, Any]) -> Response:
    return Response(json_text(body), mimetype="application/json")


def _fixed(body: dict[str, Any]) -> Handler:
    return lambda _: _json(body)


def _kserve(body: dict[str, Any], summary: str, schema: str, *, keyed: bool = False) -> Operation:
    return Operation(_fixed(body), _KSERVE, summary, schema=schema, keyed=keyed)


def _file(name: str, summary: str) -> Operation:
    return _static(partial(static_files.file, name=name), summary, static_files.content_type(name).partition(";")[0])


def _static(handler: Callable[[Request], Response], summary: str, media: str) -> Operation:
    return Operation(handler, "Web page", summary, media, static=True)

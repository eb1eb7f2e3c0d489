"""What can be asked of this copy of the function: the operations that its description lists."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from serving import static_files
from serving.openapi.schemas import JsonObject, ref
from serving.release import Release
from serving.settings import Settings

_KSERVE = "Open Inference Protocol"


@dataclass(frozen=True)
class Operation:
    """One method at one path."""

    tag: str
    summary: str
    # what a 200 holds: media type and schema
    media: str = "application/json"
    schema: JsonObject | None = None
    # a browser may keep it: it has an ETag, and is asked for with If-None-Match
    kept: bool = False
    keyed: bool = False
    # statuses beside 200 (or 304) whose body is a problem
    problems: tuple[HTTPStatus, ...] = ()
    takes_images: bool = False


def operations(settings: Settings, release: Release) -> dict[str, dict[str, Operation]]:
    """Path -> method -> operation, as main.py routes them; a test holds the two equal."""
    predict = Operation(
        "Predictions",
        "Estimate age and gender of one or more faces, in the order sent",
        schema=ref("Predictions"),
        keyed=True,
        problems=_PREDICTION_PROBLEMS,
        takes_images=True,
    )
    health = Operation("Health", "Is the function up, and with which release", schema=ref("Health"))
    v1, v2 = f"/v1/models/{release.name}", f"/v2/models/{release.name}"
    table: dict[str, dict[str, Operation]] = {
        "/predict": {"POST": predict},
        "/": {"GET": _page("The web page", "text/html"), "POST": predict},
        "/model": {"GET": _json("Model", "The release's manifest", {"type": "object"}, keyed=True)},
        "/health": {"GET": health},
        "/openapi.json": {"GET": _page("This description", "application/json", {"type": "object"})},
        "/docs": {"GET": _page("This description, to be read", "text/html")},
        **{
            path: {"GET": _page("A part of the page", static_files.content_type(name).partition(";")[0])}
            for path, name in static_files.FILES.items()
            if path != "/"
        },
        f"{v1}:predict": {"POST": predict},
        v1: {"GET": _json("TensorFlow Serving", "The model's status", ref("ModelStatus"), keyed=True)},
        "/v2": {"GET": _json(_KSERVE, "What serves", ref("ServerMetadata"))},
        "/v2/health/live": {"GET": _json(_KSERVE, "Is the server up", ref("Live"))},
        "/v2/health/ready": {"GET": _json(_KSERVE, "Is the model ready", ref("Ready"))},
    }
    for model in (v2, f"{v2}/versions/{release.version}"):
        table[model] = {"GET": _json(_KSERVE, "The network's tensors", ref("ModelMetadata"), keyed=True)}
        table[f"{model}/ready"] = {"GET": _json(_KSERVE, "Is the model ready", ref("ModelReady"))}
        table[f"{model}/infer"] = {"POST": _INFER}
    for path, method, operation in (
        (settings.health_route, "GET", health),
        (settings.predict_route, "POST", predict),
    ):
        if path:
            table[path] = table.get(path, {}) | {method: operation}
    return table


_PREDICTION_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_INFER = Operation(
    _KSERVE,
    "Not there: tensors are not taken, images are",
    keyed=True,
    problems=(HTTPStatus.NOT_IMPLEMENTED,),
)


def _json(tag: str, summary: str, schema: JsonObject, *, keyed: bool = False) -> Operation:
    return Operation(tag, summary, schema=schema, keyed=keyed)


def _page(summary: str, media: str, schema: JsonObject | None = None) -> Operation:
    return Operation("Page", summary, media, schema or {"type": "string"}, kept=True)

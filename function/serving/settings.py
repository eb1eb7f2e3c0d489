"""Every setting of the function: one environment variable each, read once at the start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from serving.heads import HEADS
from serving.limits import Limits
from serving.release import MODEL_FETCH_TIMEOUT

BUNDLED_RELEASE = Path(__file__).parent.parent / "model"
_LIMITS = Limits()
# Variables of former versions -> what they are called now. A start that still sets one is refused.
RENAMED = {
    "FETCH_SECONDS": "MODEL_FETCH_TIMEOUT",
    "LOG_ANSWERS": "LOG_PREDICTIONS",
    "MAX_SIDE_RATIO": "MAX_ASPECT_RATIO",
    "MAX_WHOLE_PIXELS": "MAX_FULL_DECODE_PIXELS",
    "MIN_SIDE": "MIN_IMAGE_SIDE",
    "REQUEST_SECONDS": "REQUEST_TIMEOUT",
}
# The longest time limit of a Cloud Run request.
_MAX_SECONDS = 3600
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message says which and what is allowed."""


class Variable(NamedTuple):
    """One environment variable: what README.md says of it, and how it is read."""

    name: str
    # what it is when unset or empty, as a deployment would write it
    default: str
    meaning: str
    # text -> value; raises ValueError whose message completes "it takes …"
    read: Callable[[str], Any]
    # never repeated in a message
    secret: bool = False

    def value(self, environment: Mapping[str, str]) -> Any:
        """What `environment` says.

        Raises:
            SettingsError: the text cannot be used.
        """
        text = environment.get(self.name, "").strip() or self.default
        try:
            return self.read(text)
        except ValueError as error:
            found = "no usable value" if self.secret else repr(text)
            raise SettingsError(f"{self.name} is {found}; it takes {error}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError("a whole number above 0")
    return int(text)


def _digest(text: str) -> str:
    return text.lower()


def _heads(text: str) -> tuple[str, ...]:
    wanted = set(_list(text))
    if not wanted or not wanted <= set(HEADS):
        raise ValueError(f"one or more of {', '.join(HEADS)}, separated by commas")
    return tuple(head for head in HEADS if head in wanted)


def _counted(text: str) -> tuple[str, ...]:
    try:
        return () if text.lower() == "none" else _heads(text)
    except ValueError as error:
        raise ValueError(f"none, or {error}") from error


def _origins(text: str) -> tuple[str, ...]:
    origins = _list(text)
    if not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin) for origin in origins):
        raise ValueError("origins such as https://app.example, separated by commas")
    return origins


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _key(text: str) -> str:
    if text and not re.fullmatch(r"[!-~]{16,}", text):
        raise ValueError("16 or more printable ASCII characters without spaces")
    return text


def _level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _path(text: str) -> str:
    if text and not re.fullmatch(r"/|(/[^/?#\s]+)+", text):
        raise ValueError("a path such as /predict")
    return text


def _port(text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**16):
        raise ValueError("a port, 1 to 65535")
    return int(text) if text else None


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 0 < int(text) <= _MAX_SECONDS):
        raise ValueError(f"whole seconds, 1 to {_MAX_SECONDS}")
    return int(text)


def _small_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and int(text)):
        raise ValueError("a whole number, 1 to 999")
    return int(text)


def _timeout(text: str) -> int:
    if text == "0":
        return 0
    try:
        return _seconds(text)
    except ValueError as error:
        raise ValueError(f"0 for none, or {error}") from error


def _release(text: str) -> str:
    return text or str(BUNDLED_RELEASE)


def _variable(
    name: str, default: object, meaning: str, read: Callable[[str], Any] = str, *, secret: bool = False
) -> Any:
    variable = Variable(name, str(default), meaning, read, secret)
    return field(default_factory=lambda: read(variable.default), metadata={"variable": variable})


# No repr: it would show the key.
@dataclass(frozen=True, repr=False)
class Settings:
    """How this copy of the function runs; the order is that of README.md."""

    model_uri: str = _variable(
        "MODEL_URI", "", "a folder or `gs://bucket/path/<version>`; unset, the bundled release", _release
    )
    model_sha256: str = _variable("MODEL_SHA256", "", "the digest that the model file must have", _digest)
    model_cache: str = _variable(
        "MODEL_CACHE", "", "a folder that keeps models from cloud storage for the next start, by digest"
    )
    model_fetch_timeout: int = _variable(
        "MODEL_FETCH_TIMEOUT", MODEL_FETCH_TIMEOUT, "a start that has not fetched its release by then ends", _count
    )
    heads: tuple[str, ...] = _variable(
        "HEADS",
        "age,gender",
        "which answers are given, of those that the release has; the bundled one has `age,gender,ethnicity`",
        _heads,
    )
    max_request_bytes: int = _variable("MAX_REQUEST_BYTES", 20 * 2**20, "larger requests are refused", _count)
    max_images: int = _variable("MAX_IMAGES", 32, "images in one request, at most", _count)
    max_pixels: int = _variable("MAX_PIXELS", _LIMITS.max_pixels, "width x height of one image, at most", _count)
    max_full_decode_pixels: int = _variable(
        "MAX_FULL_DECODE_PIXELS",
        _LIMITS.max_full_decode_pixels,
        "the same for what cannot be decoded at a reduced scale: all but a JPEG that is not progressive",
        _count,
    )
    min_image_side: int = _variable(
        "MIN_IMAGE_SIDE", _LIMITS.min_image_side, "pixels of the shorter side, at least", _count
    )
    max_aspect_ratio: int = _variable(
        "MAX_ASPECT_RATIO", _LIMITS.max_aspect_ratio, "longer side over shorter side, at most", _count
    )
    request_timeout: int = _variable(
        "REQUEST_TIMEOUT", 30, "a request that is not read and answered after so long ends", _seconds
    )
    api_key: str = _variable(
        "API_KEY",
        "",
        "asked for as `X-API-Key` or `Authorization: Bearer` by everything but health, page and description",
        _key,
        secret=True,
    )
    cors_origins: tuple[str, ...] = _variable(
        "CORS_ORIGINS", "", "origins whose pages may call, such as `https://app.example`, separated by commas", _origins
    )
    log_level: str = _variable(
        "LOG_LEVEL",
        "INFO",
        "`DEBUG` (the page's files too), `INFO` (each request), `WARNING` (those refused) or `ERROR`",
        _level,
    )
    log_predictions: tuple[str, ...] = _variable(
        "LOG_PREDICTIONS",
        "age,gender",
        "of which answers the log counts age bands and labels, of those that are given; `none` for none",
        _counted,
    )
    project: str = _variable("GOOGLE_CLOUD_PROJECT", "", "the project whose traces the log's lines name")
    http_port: int | None = _variable("AIP_HTTP_PORT", "", "Vertex AI: the port, instead of `PORT`", _port)
    health_route: str = _variable("AIP_HEALTH_ROUTE", "", "Vertex AI: one more path of `/health`", _path)
    predict_route: str = _variable("AIP_PREDICT_ROUTE", "", "Vertex AI: one more path of `/predict`", _path)
    keepalive_timeout: int = _variable(
        "KEEPALIVE_TIMEOUT",
        75,
        "Seconds after which an idle connection closes. Set more than the idle timeout of a load balancer in front.",
        _seconds,
    )
    threads: int = _variable("THREADS", 64, "Requests that one process handles at once.", _small_count)
    workers: int = _variable("WORKERS", 1, "Processes of the server.", _small_count)
    cloud_run_timeout: int = _variable(
        "CLOUD_RUN_TIMEOUT_SECONDS",
        0,
        "Seconds after which gunicorn restarts a process that hangs. `0` turns it off.",
        _timeout,
    )

    @property
    def limits(self) -> Limits:
        """What one image may measure."""
        return Limits(self.max_pixels, self.max_full_decode_pixels, self.min_image_side, self.max_aspect_ratio)


def variables() -> Iterator[Variable]:
    """Every environment variable that is read."""
    return (known.metadata["variable"] for known in fields(Settings))


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` gives, with defaults for what it leaves out.

    Raises:
        SettingsError: a value cannot be used, or a variable has another name now.
    """
    for former, name in RENAMED.items():
        if former in environment:
            raise SettingsError(f"{former} is now {name}: rename it")
    if environment.get("SCRIPT_NAME"):
        raise SettingsError("SCRIPT_NAME is set, and the function has no paths below a prefix: unset it")
    return Settings(**{known.name: known.metadata["variable"].value(environment) for known in fields(Settings)})

"""Settings of the function: one environment variable each, read once at the start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from serving import addresses
from serving.addresses import AddressError
from serving.heads import HEADS
from serving.limits import FaceLimits, Limits
from serving.release import MODEL_FETCH_TIMEOUT, Pins

BUNDLED_RELEASE = Path(__file__).parent.parent / "model"
_LIMITS = Limits()
_FACE_LIMITS = FaceLimits()
# Former name of a variable -> present name. A start with a former name is refused.
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
    """A setting has an invalid value. The message names the setting and what is allowed."""


class Variable(NamedTuple):
    """One environment variable: its line in the reference, and its parser."""

    name: str
    """Name of the variable."""
    default: str
    """Text that an unset or empty variable stands for."""
    meaning: str
    """Description in the table of settings."""
    read: Callable[[str], Any]
    """Text -> value. It raises a ValueError whose message completes "it takes …"."""
    secret: bool = False
    """Whether messages must not quote the value."""
    blank: bool = True
    """Whether an empty value counts as unset. Otherwise it is refused."""

    def value(self, environment: Mapping[str, str]) -> Any:
        """Return the value in `environment`, or the default.

        Raises:
            SettingsError: the text is invalid.
        """
        text = environment.get(self.name, "").strip()
        try:
            if not (text or self.blank) and self.name in environment:
                raise ValueError("no empty text: unset it")
            return self.read(text or self.default)
        except ValueError as error:
            found = "no usable value" if self.secret else repr(text)
            raise SettingsError(f"{self.name} is {found}; it takes {error}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError("a whole number above 0")
    return int(text)


def _digest(text: str) -> str:
    if text and not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise ValueError("a SHA-256 of 64 hexadecimal digits")
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


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _share(text: str) -> float:
    if not re.fullmatch(r"0|1|0?\.[0-9]{1,6}", text, re.ASCII):
        raise ValueError("a number from 0 to 1, such as 0.5")
    return float(text)


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
    if not text:
        return str(BUNDLED_RELEASE)
    try:
        return f"{addresses.parse(text)}"
    except AddressError as error:
        raise ValueError(f"{addresses.ALLOWED} ({error})") from error


def _variable(
    name: str,
    default: object,
    meaning: str,
    read: Callable[[str], Any] = str,
    *,
    secret: bool = False,
    blank: bool = True,
) -> Any:
    variable = Variable(name, str(default), meaning, read, secret, blank)
    return field(default_factory=lambda: read(variable.default), metadata={"variable": variable})


# No repr: it would show the key.
@dataclass(frozen=True, repr=False)
class Settings:
    """How this copy of the function runs; the order is that of the reference."""

    model_uri: str = _variable(
        "MODEL_URI",
        "",
        "Release to serve: a folder or `gs://bucket/path/<version>`. Unset, the bundled release.",
        _release,
        blank=False,
    )
    model_sha256: str = _variable("MODEL_SHA256", "", "SHA-256 that the model file must have.", _digest)
    manifest_sha256: str = _variable(
        "MANIFEST_SHA256",
        "",
        "SHA-256 that `manifest.json` must have: it fixes the labels and the calibration, too.",
        _digest,
    )
    model_cache: str = _variable(
        "MODEL_CACHE", "", "Folder that keeps models from Cloud Storage for the next start, named by digest."
    )
    model_fetch_timeout: int = _variable(
        "MODEL_FETCH_TIMEOUT", MODEL_FETCH_TIMEOUT, "Seconds after which a start without its release ends.", _count
    )
    heads: tuple[str, ...] = _variable(
        "HEADS",
        "age,gender",
        "Predictions in a response. The bundled release has `age,gender,ethnicity`.",
        _heads,
    )
    max_request_bytes: int = _variable("MAX_REQUEST_BYTES", 20 * 2**20, "Maximum bytes of a request.", _count)
    max_images: int = _variable("MAX_IMAGES", 32, "Maximum images in a request.", _count)
    max_pixels: int = _variable("MAX_PIXELS", _LIMITS.max_pixels, "Maximum width x height of an image.", _count)
    max_full_decode_pixels: int = _variable(
        "MAX_FULL_DECODE_PIXELS",
        _LIMITS.max_full_decode_pixels,
        "Maximum width x height of an image that must be decoded at full size: everything except baseline JPEG.",
        _count,
    )
    min_image_side: int = _variable(
        "MIN_IMAGE_SIDE", _LIMITS.min_image_side, "Minimum pixels of the shorter side.", _count
    )
    max_aspect_ratio: int = _variable(
        "MAX_ASPECT_RATIO", _LIMITS.max_aspect_ratio, "Maximum ratio of the longer side to the shorter side.", _count
    )
    detect: bool = _variable(
        "DETECT", "false", "Whether `/predict` finds faces in whole images unless a request says otherwise.", _flag
    )
    preload_detector: bool = _variable(
        "PRELOAD_DETECTOR", "false", "Whether the detector loads at the start instead of at its first use.", _flag
    )
    max_faces: int = _variable(
        "MAX_FACES", _FACE_LIMITS.max_faces, "Maximum faces listed for an image. The largest are kept.", _small_count
    )
    min_face_size: float = _variable(
        "MIN_FACE_SIZE",
        _FACE_LIMITS.min_face_size,
        "Minimum side of a face's box, as a share of the image's longer side.",
        _share,
    )
    min_face_score: float = _variable(
        "MIN_FACE_SCORE", _FACE_LIMITS.min_face_score, "Minimum detection score of a face, 0 to 1.", _share
    )
    deepface: bool = _variable(
        "DEEPFACE", "false", "Whether `POST /analyze` answers clients of DeepFace's REST API.", _flag
    )
    rekognition: bool = _variable(
        "REKOGNITION", "false", "Whether `POST /` answers `DetectFaces` of Amazon Rekognition's clients.", _flag
    )
    min_group: int = _variable(
        "MIN_GROUP", "10", "People in the smallest group of which `/summarize` shows figures.", _small_count
    )
    request_timeout: int = _variable("REQUEST_TIMEOUT", 30, "Seconds after which a request ends.", _seconds)
    api_key: str = _variable(
        "API_KEY",
        "",
        "Require this key in `X-API-Key` or as a bearer token. `/health`, the web page and the API docs stay public.",
        _key,
        secret=True,
    )
    cors_origins: tuple[str, ...] = _variable(
        "CORS_ORIGINS",
        "",
        "Origins whose pages may call the API, such as `https://app.example`, separated by commas.",
        _origins,
    )
    log_level: str = _variable(
        "LOG_LEVEL",
        "INFO",
        "`DEBUG` logs the page's files too, `INFO` each request, `WARNING` refused ones, `ERROR` failures.",
        _level,
    )
    log_predictions: tuple[str, ...] = _variable(
        "LOG_PREDICTIONS",
        "age,gender",
        "Heads whose predictions are counted in the log, in coarse bins. `none` turns it off.",
        _counted,
    )
    log_faces: bool = _variable(
        "LOG_FACES",
        "false",
        "Whether the log has the estimates of each face, for the heads of `LOG_PREDICTIONS`: personal data, which "
        "`python -m training feedback` compares with true labels.",
        _flag,
    )
    project: str = _variable("GOOGLE_CLOUD_PROJECT", "", "Project whose traces the log entries name.")
    http_port: int | None = _variable("AIP_HTTP_PORT", "", "Vertex AI: the port instead of `PORT`.", _port)
    health_route: str = _variable("AIP_HEALTH_ROUTE", "", "Vertex AI: another path of `/health`.", _path)
    predict_route: str = _variable("AIP_PREDICT_ROUTE", "", "Vertex AI: another path of `/predict`.", _path)
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
    def pins(self) -> Pins:
        """Digests that the release must have."""
        return Pins(self.model_sha256, self.manifest_sha256)

    @property
    def limits(self) -> Limits:
        """Limits of one image."""
        return Limits(self.max_pixels, self.max_full_decode_pixels, self.min_image_side, self.max_aspect_ratio)


def variables() -> Iterator[Variable]:
    """Return every environment variable of the function."""
    return (known.metadata["variable"] for known in fields(Settings))


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings in `environment`, with defaults for the others.

    Raises:
        SettingsError: a value is invalid, or a variable has a former name.
    """
    for former, name in RENAMED.items():
        if former in environment:
            raise SettingsError(f"{former} is now {name}: rename it")
    if environment.get("SCRIPT_NAME"):
        raise SettingsError("SCRIPT_NAME is set, and the function has no paths below a prefix: unset it")
    return Settings(**{known.name: known.metadata["variable"].value(environment) for known in fields(Settings)})

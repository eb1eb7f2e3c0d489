"""Every setting of the function: one environment variable each, read once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.limits import Limits
from serving.release import FETCH_SECONDS, HEADS

BUNDLED_RELEASE = Path(__file__).parent.parent / "model"


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message says which and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """How this copy of the function runs."""

    # MODEL_URI: a folder or gs://bucket/path that holds one release
    model_uri: str = str(BUNDLED_RELEASE)
    # MODEL_SHA256: hex digest that the model file must have; "" accepts the manifest's
    model_sha256: str = ""
    # MODEL_CACHE: a folder that keeps models from cloud storage for the next start; "" keeps none
    model_cache: str = ""
    # FETCH_SECONDS: a start that has not fetched its release by then ends
    fetch_seconds: int = FETCH_SECONDS
    # HEADS: which answers are given
    heads: tuple[str, ...] = ("age", "gender")
    # MAX_REQUEST_BYTES: larger requests are refused unread
    max_request_bytes: int = 20 * 2**20
    # MAX_IMAGES: pictures in one request, at most
    max_images: int = 32
    # MAX_PIXELS, MIN_SIDE, MAX_SIDE_RATIO: what one picture may measure
    limits: Limits = field(default_factory=Limits)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` gives, with defaults for what it leaves out.

    Raises:
        SettingsError: a value cannot be used.
    """
    default = Settings()
    limits = default.limits
    return Settings(
        model_uri=environment.get("MODEL_URI") or default.model_uri,
        model_sha256=environment.get("MODEL_SHA256", "").strip().lower(),
        model_cache=environment.get("MODEL_CACHE", ""),
        fetch_seconds=_positive(environment, "FETCH_SECONDS", default.fetch_seconds),
        heads=_heads(environment.get("HEADS") or ",".join(default.heads)),
        max_request_bytes=_positive(environment, "MAX_REQUEST_BYTES", default.max_request_bytes),
        max_images=_positive(environment, "MAX_IMAGES", default.max_images),
        limits=Limits(
            max_pixels=_positive(environment, "MAX_PIXELS", limits.max_pixels),
            min_side=_positive(environment, "MIN_SIDE", limits.min_side),
            max_side_ratio=_positive(environment, "MAX_SIDE_RATIO", limits.max_side_ratio),
        ),
    )


def _heads(value: str) -> tuple[str, ...]:
    wanted = {head.strip() for head in value.split(",")}
    if not wanted <= set(HEADS):
        raise SettingsError(f"HEADS is {value!r}; it takes one or more of {', '.join(HEADS)}, separated by commas")
    return tuple(head for head in HEADS if head in wanted)


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or int(value) == 0:
        raise SettingsError(f"{name} is {value!r}; it takes a whole number above 0")
    return int(value)

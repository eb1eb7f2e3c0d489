"""Lines of the function's log -> what one release was asked and answered, as counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from serving import heads, manifest_v3
from serving.formats import FORMATS
from serving.heads import AGE
from serving.input_check import CODES
from serving.request_stats import AGE_BANDS, SIDES

# fields of a line that hold counts in bins, beside `predictions`
_QUALITY = {"sides": SIDES, "formats": FORMATS}
# No request has so many images.
_TOO_MANY = 1_000_000
Counts = dict[str, int]


class _NotARequestError(Exception):
    """The line is somebody else's, or tells of no request."""


@dataclass
class Traffic:
    """What was counted; it takes the same memory for any number of lines."""

    release: str
    # measure (a head of the model, `sides`, `formats`) -> bin -> images, every bin in its order
    bins: dict[str, Counts]
    # reason to doubt an answer -> images; one image may have several
    warnings: Counts = field(default_factory=lambda: dict.fromkeys(CODES, 0))
    # those that asked for answers
    requests: int = 0
    # of these, answered by 5xx, and those with an answered image
    server_errors: int = 0
    requests_answered: int = 0
    images: int = 0
    failed: int = 0
    # lines that begin as ours do and cannot be read, that are of another release, and that are of another kind
    damaged: int = 0
    of_other_releases: int = 0
    others: int = 0
    # one of the other releases
    other_release: str = ""

    @property
    def answered(self) -> int:
        """Images."""
        return self.images - self.failed

    @property
    def failed_share(self) -> float:
        """Of the images, those not answered."""
        return _share(self.failed, self.images)

    @property
    def server_error_share(self) -> float:
        """Of the requests, those answered by 5xx."""
        return _share(self.server_errors, self.requests)

    @property
    def warned_shares(self) -> dict[str, float]:
        """Of the answered images, those with a warning, by its code."""
        return {code: _share(count, self.answered) for code, count in self.warnings.items()}

    def add(self, line: bytes, since: datetime | None = None) -> None:
        """Count one line."""
        try:
            self._request(*_parts(line), since)
        except _NotARequestError:
            self.others += 1
        # A line can be cut off or overwritten anywhere; it is not worth the others.
        except (ValueError, TypeError, KeyError, RecursionError):
            self.damaged += 1

    def _request(self, line: dict[str, Any], http: dict[str, Any], time: str, since: datetime | None) -> None:
        if line["release"] != self.release:
            self.of_other_releases += 1
            self.other_release = str(line["release"])[:64]
            return
        if since and datetime.fromisoformat(time) < since:
            self.others += 1
            return
        if http["requestMethod"] != "POST":
            raise _NotARequestError
        status = _whole(http["status"])
        if "images" in line:
            self._images(line)
        self.requests += 1
        # 501 answers those who send tensors.
        self.server_errors += status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED

    def _images(self, line: dict[str, Any]) -> None:
        images, failed = _whole(line["images"]), _whole(line.get("failed", 0))
        answered = _whole(images - failed)
        counted = {**_object(line.get("predictions", {})), **{name: line[name] for name in _QUALITY if name in line}}
        checked = {name: _counts(counts, self.bins[name], answered) for name, counts in counted.items()}
        warnings = _known(line.get("warnings", {}), self.warnings)
        # Only when nothing of the line is in doubt.
        self.images += images
        self.failed += failed
        self.requests_answered += answered > 0
        for name, counts in checked.items():
            _add(self.bins[name], counts)
        _add(self.warnings, warnings)


def count(lines: Iterable[bytes], manifest: dict[str, Any], since: datetime | None = None) -> Traffic:
    """Count the lines that a release has left.

    Args:
        lines: as the function writes them, or as entries of Cloud Logging.
        manifest: of the release.
        since: with a time zone; earlier requests are left out.
    """
    labels = {AGE: AGE_BANDS, **heads.labels(manifest)}
    bins = {name: dict.fromkeys(names, 0) for name, names in (labels | _QUALITY).items()}
    traffic = Traffic(manifest["version"], bins)
    for line in lines:
        traffic.add(line, since)
    return traffic


def _parts(line: bytes) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The function's own fields, `httpRequest`, and the time; Cloud Logging moves the last two into its entry."""
    if not line.startswith(b"{"):
        # The runtime and the server have words of their own.
        raise _NotARequestError
    entry = _object(json.loads(line))
    fields = _object(entry.get("jsonPayload", entry))
    http = entry.get("httpRequest") or fields.get("httpRequest")
    if "release" not in fields or not http:
        raise _NotARequestError
    return _renamed(fields), _object(http), entry.get("timestamp") or fields.get("time", "")


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """A line of a function that read format 3, as it is written now."""
    if fields.keys().isdisjoint(manifest_v3.LOG_FIELDS):
        return fields
    renamed = {manifest_v3.LOG_FIELDS.get(name, name): value for name, value in fields.items()}
    if isinstance(warnings := renamed.get("warnings"), dict):
        codes = manifest_v3.WARNING_CODES
        renamed["warnings"] = {codes.get(code, code): count for code, count in warnings.items()}
    return renamed


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def _whole(value: Any) -> int:
    if not 0 <= value < _TOO_MANY or int(value) != value:
        raise ValueError(f"{value!r} is no count")
    return int(value)


def _known(counts: Any, bins: Counts) -> Counts:
    if not _object(counts).keys() <= bins.keys():
        raise ValueError(f"unknown bins {counts.keys() - bins.keys()}")
    return {name: _whole(value) for name, value in counts.items()}


def _counts(counts: Any, bins: Counts, images: int) -> Counts:
    known = _known(counts, bins)
    if sum(known.values()) != images:
        raise ValueError("counts do not add up to the images")
    return known


def _add(bins: Counts, counts: Counts) -> None:
    for name, value in counts.items():
        bins[name] += value

"""Count the requests and predictions of one release in the function's log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from serving import heads
from serving.formats import FORMATS
from serving.heads import AGE
from serving.input_check import CODES
from serving.request_stats import AGE_BANDS, SIDES
from training.monitoring import entries
from training.monitoring.entries import NotARequestError, as_object
from training.stability import Counts

# Fields of a line with counts in bins, besides `predictions`.
_QUALITY = {"sides": SIDES, "formats": FORMATS}
# More images than a request can have.
_TOO_MANY = 1_000_000


@dataclass
class Traffic:
    """Counts over a log. Memory does not grow with the number of lines."""

    release: str
    bins: dict[str, Counts]
    """Faces by measure (a head of the model, `sides`, `formats`) and bin, in the order of the bins."""
    warnings: Counts = field(default_factory=lambda: dict.fromkeys(CODES, 0))
    """Faces by warning code; a face can have several."""
    requests: int = 0
    """Prediction requests."""
    server_errors: int = 0
    """Prediction requests with a 5xx response."""
    requests_answered: int = 0
    """Prediction requests with at least one prediction."""
    answered: int = 0
    """Predictions: one an image, or one for each face that was found in a whole image."""
    images: int = 0
    failed: int = 0
    """Images with an error."""
    damaged: int = 0
    """Lines of the function that cannot be read."""
    of_other_releases: int = 0
    """Lines of other releases."""
    others: int = 0
    """Lines that do not log a prediction request."""
    of_function: int = 0
    """Lines of the function, of any release and for any request."""
    other_release: str = ""
    """Version of one of the other releases."""

    @property
    def lines(self) -> int:
        """Return the number of lines."""
        return self.requests + self.damaged + self.of_other_releases + self.others

    @property
    def failed_share(self) -> float:
        """Return the share of the images with an error."""
        return _share(self.failed, self.images)

    @property
    def server_error_share(self) -> float:
        """Return the share of the requests with a 5xx response."""
        return _share(self.server_errors, self.requests)

    @property
    def warned_shares(self) -> dict[str, float]:
        """Return the share of the predictions with a warning, by code."""
        return {code: _share(count, self.answered) for code, count in self.warnings.items()}

    def add(self, line: bytes, since: datetime | None = None) -> None:
        """Count one line."""
        try:
            entry = entries.parse(line)
            self.of_function += 1
            self._request(*entry, since)
        except NotARequestError:
            self.others += 1
        # A line can be truncated or overwritten anywhere. It must not stop the count.
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
            raise NotARequestError
        status = _whole(http["status"])
        if "images" in line:
            self._images(line)
        self.requests += 1
        # 501 is the response to a request that this function does not support.
        self.server_errors += status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED

    def _images(self, line: dict[str, Any]) -> None:
        images, failed = _whole(line["images"]), _whole(line.get("failed", 0))
        photos, faces = _whole(line.get("photos", 0)), _whole(line.get("faces", 0))
        answered = _whole(images - failed - photos) + faces
        counted = {**as_object(line.get("predictions", {})), **{name: line[name] for name in _QUALITY if name in line}}
        checked = {name: _counts(counts, self.bins[name], answered) for name, counts in counted.items()}
        warnings = _known(line.get("warnings", {}), self.warnings)
        # Counted only after the whole line is checked.
        self.images += images
        self.failed += failed
        self.answered += answered
        self.requests_answered += answered > 0
        for name, counts in checked.items():
            _add(self.bins[name], counts)
        _add(self.warnings, warnings)


def count(lines: Iterable[bytes], manifest: dict[str, Any], since: datetime | None = None) -> Traffic:
    """Count the log lines of a release.

    Args:
        lines: of the function, or entries of Cloud Logging.
        manifest: of the release.
        since: with a time zone; earlier requests are ignored.
    """
    labels = {AGE: AGE_BANDS, **heads.labels(manifest)}
    bins = {name: dict.fromkeys(names, 0) for name, names in (labels | _QUALITY).items()}
    traffic = Traffic(manifest["version"], bins)
    for line in lines:
        traffic.add(line, since)
    return traffic


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _whole(value: Any) -> int:
    if not 0 <= value < _TOO_MANY or int(value) != value:
        raise ValueError(f"{value!r} is not a count")
    return int(value)


def _known(counts: Any, bins: Counts) -> Counts:
    if not as_object(counts).keys() <= bins.keys():
        raise ValueError(f"unknown bins {counts.keys() - bins.keys()}")
    return {name: _whole(value) for name, value in counts.items()}


def _counts(counts: Any, bins: Counts, predictions: int) -> Counts:
    known = _known(counts, bins)
    if sum(known.values()) != predictions:
        raise ValueError("the counts do not add up to the number of predictions")
    return known


def _add(bins: Counts, counts: Counts) -> None:
    for name, value in counts.items():
        bins[name] += value

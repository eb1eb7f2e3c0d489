"""Lines of a log are counted for one release, whatever else lies among them, in the same memory for any number."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from serving import manifest_v3
from serving.release import MANIFEST
from tests.loglines import BUNDLED, RELEASE, Line, entry, line, with_http
from training.monitoring.traffic import Traffic, count

MANIFEST_OF_BUNDLED: dict[str, Any] = json.loads((BUNDLED / MANIFEST).read_text())


def counted(*lines: Line | bytes, since: datetime | None = None) -> Traffic:
    encoded = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    return count(encoded, MANIFEST_OF_BUNDLED, since)


def test_requests_images_and_bins_add_up() -> None:
    several = line(
        images=4,
        failed=1,
        predictions={"age": {"0-12": 2, "60+": 1}, "gender": {"male": 3}, "ethnicity": {"other": 3}},
        warnings={"low_resolution": 2, "not_a_face": 1},
        sides={"0-31": 2, "512+": 1},
        formats={"PNG": 3},
    )
    found = counted(line(), several, with_http(422, images=1, failed=1), with_http(401))
    assert (found.requests, found.requests_answered, found.images, found.failed) == (4, 2, 6, 2)
    assert found.bins["age"] == {"0-12": 2, "13-19": 0, "20-39": 1, "40-59": 0, "60+": 1}
    assert found.bins["gender"] == {"male": 3, "female": 1}
    assert found.bins["ethnicity"]["other"] == 3
    assert found.warnings == {"low_contrast": 0, "low_resolution": 2, "extreme_aspect_ratio": 0, "not_a_face": 1}
    assert found.bins["sides"]["0-31"] == 2
    assert (found.damaged, found.others, found.of_other_releases) == (0, 0, 0)


def test_entries_of_cloud_logging_count_as_the_lines_do() -> None:
    lines = [line(), line("0-12", warnings={"low_contrast": 1}), with_http(500), with_http(422, images=1, failed=1)]
    assert counted(*map(entry, lines)) == counted(*lines)
    # its numbers have passed through a format that knows no whole ones
    floats = entry(line(images=1.0, failed=0.0, predictions={"age": {"0-12": 1.0}}))
    assert counted(floats).bins["age"]["0-12"] == 1


def test_lines_of_a_function_that_read_format_3_count_as_those_of_now() -> None:
    now = line(warnings={"low_contrast": 1, "not_a_face": 1}, images=2, failed=1)
    names, codes = manifest_v3.LOG_FIELDS, manifest_v3.WARNING_CODES
    former = {next((old for old, new in names.items() if new == name), name): value for name, value in now.items()}
    former["warnings"] = {old: 1 for old, new in codes.items() if new in ("low_contrast", "not_a_face")}
    assert {"pictures", "answers"} <= former.keys()
    assert counted(former) == counted(now)
    assert counted(entry(former)) == counted(now)


@pytest.mark.parametrize(
    "before", ["2026-11-25T10:00:00Z ", "faces-1  | ", "faces-1  | 2026-11-25T10:00:00Z ", "[pod/faces/faces] "]
)
def test_a_prefix_of_another_tool_is_skipped(before: str) -> None:
    whole = json.dumps(line()).encode()
    assert counted(before.encode() + whole) == counted(line())
    assert counted(before.encode() + whole[:-9]).damaged == 1


def test_a_line_in_dockers_json_is_unpacked() -> None:
    wrapped = {"log": json.dumps(line()) + "\n", "stream": "stderr", "time": "2026-11-25T10:00:00Z"}
    assert counted(wrapped) == counted(line())


def test_lines_of_the_function_are_told_from_foreign_ones() -> None:
    found = counted(b"INFO: a delegate", line(), with_http(200, "GET", "/health"), line(release="20250101-0000"))
    assert (found.lines, found.of_function, found.requests) == (4, 3, 1)


def test_server_errors_are_those_of_requests_for_answers() -> None:
    found = counted(
        with_http(500),
        with_http(503, images=1, failed=1),
        with_http(501, path="/v2/models/faces/infer"),
        with_http(500, "GET", "/health"),
        line(),
    )
    assert (found.requests, found.server_errors, found.others) == (4, 2, 1)
    assert found.server_error_share == 0.5


def test_lines_of_other_releases_are_not_mixed_in() -> None:
    found = counted(line(), line("0-12", release="20250101-0000"), entry(line("0-12", release="x" * 1000)))
    assert (found.requests, found.of_other_releases) == (1, 2)
    assert found.bins["age"]["0-12"] == 0
    assert found.other_release == "x" * 64


@pytest.mark.parametrize(
    "other",
    [
        b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
        b"[1] [INFO] Starting gunicorn",
        json.dumps({"severity": "ERROR", "message": "unexpected failure", "stack_trace": "..."}).encode(),
        json.dumps({"textPayload": "Created TensorFlow Lite XNNPACK delegate", "insertId": "1"}).encode(),
        json.dumps(
            {"httpRequest": {"status": 200}, "logName": "projects/p/logs/run.googleapis.com%2Frequests"}
        ).encode(),
        json.dumps(with_http(200, "GET", "/health")).encode(),
        b"worker 7: {'release': 'of the worker'}",
        json.dumps({"log": "[1] [INFO] Starting gunicorn\n", "stream": "stderr", "time": "2026-11-25"}).encode(),
    ],
)
def test_lines_of_another_kind_are_no_damage(other: bytes) -> None:
    found = counted(other, line())
    assert (found.requests, found.others, found.damaged) == (1, 1, 0)


WHOLE = json.dumps(line()).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE + WHOLE,
        WHOLE.replace(b'"JPEG"', b'"\xff\xfe"'),
        b'{"release":' + b"[" * 100_000,
        b'{"jsonPayload": null}',
        b'{"jsonPayload": 7}',
        json.dumps(line(images="many")).encode(),
        json.dumps(line(images=-1)).encode(),
        json.dumps(line(images=1.5)).encode(),
        json.dumps(line(images=1e400)).encode(),
        json.dumps(line(failed=2)).encode(),
        json.dumps(line(predictions=[])).encode(),
        json.dumps(line(predictions={"age": {"0-12": 2}})).encode(),
        json.dumps(line(predictions={"age": {"exactly 31": 1}})).encode(),
        json.dumps(line(predictions={"mood": {"good": 1}})).encode(),
        json.dumps(line(predictions={"age": {"0-12": True}, "gender": None})).encode(),
        json.dumps(line(warnings={"name": 1})).encode(),
        json.dumps(line(httpRequest={"requestMethod": "POST"})).encode(),
        json.dumps(line(httpRequest="GET")).encode(),
    ],
    ids=lambda value: repr(value[-40:]),
)
def test_a_damaged_line_is_counted_and_leaves_nothing_behind(damaged: bytes) -> None:
    found = counted(line(), damaged, entry(line("0-12")))
    clean = counted(line(), entry(line("0-12")))
    assert found.damaged == 1
    clean.damaged, clean.of_function = 1, found.of_function
    assert found == clean


def test_only_requests_since_a_moment_are_counted() -> None:
    early, late = line(time="2026-11-25T09:59:59.999999+00:00"), line(time="2026-11-25T11:00:00+01:00")
    nanoseconds = entry(line(time="2026-11-25T10:00:00.123456789Z"))
    found = counted(early, entry(early), late, nanoseconds, since=datetime(2026, 11, 25, 10, tzinfo=UTC))
    assert (found.requests, found.others) == (2, 2)


def test_memory_does_not_grow_with_the_log() -> None:
    def lines(number: int) -> Iterator[bytes]:
        for place in range(number):
            yield json.dumps(
                entry(line(request_id=f"{place:032}", release=RELEASE if place % 2 else f"{place}"))
            ).encode()

    def peak(number: int) -> int:
        tracemalloc.start()
        found = count(lines(number), MANIFEST_OF_BUNDLED)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.requests == number // 2
        return most

    few = peak(300)
    assert peak(6_000) < 1.2 * few + 10_000


def test_whole_images_count_one_prediction_for_each_face() -> None:
    photos = line(
        images=4,
        failed=1,
        photos=3,
        faces=5,
        predictions={"age": {"0-12": 5}, "gender": {"male": 5}},
        sides={"64-127": 5},
        formats={"WEBP": 5},
    )
    empty = with_http(200, images=1, failed=0, photos=1, faces=0)
    found = counted(photos, empty, line())
    assert (found.requests, found.requests_answered, found.images, found.failed, found.answered) == (3, 2, 6, 1, 6)
    assert found.bins["formats"]["WEBP"] == 5
    assert found.damaged == 0
    # more searched images than succeeded
    assert counted(photos | {"photos": 4}).damaged == 1

"""The estimates that a function answered with, for the faces that a table of true labels names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from age_gender import answer_files
from age_gender.answer_files import PARQUET, AnswersError, Row
from age_gender.prediction import FILE, Estimates, head_columns, parse_estimates
from serving.heads import AGE, HEADS
from serving.prediction import RELEASE, AgeEstimate, LabelEstimate
from serving.text import printable
from training.data.table_columns import FACE, IMAGE, REQUEST
from training.errors import StepError
from training.monitoring import entries, logfiles
from training.monitoring.entries import NotARequestError
from training.monitoring.true_labels import Place

# Estimates by number of the face, from 1.
Faces = dict[int, Estimates]
# Faces by number of the image, from 1. None for an image with an error.
Images = dict[int, Faces | None]


class NoAnswerError(Exception):
    """There is no estimate for a labelled face. The message says why."""


@dataclass
class LiveAnswers:
    """Answers by request id or file name. Only names that are wanted take memory."""

    wanted: Collection[str]
    """The names in the table of labels."""
    images: dict[str, Images] = field(default_factory=dict)
    """Faces by name."""
    releases: dict[str, str] = field(default_factory=dict)
    """Version by name, "" where the answer does not say it."""
    absent: dict[str, str] = field(default_factory=dict)
    """Why a request in the log has no estimates, by name."""
    ambiguous: set[str] = field(default_factory=set)
    """Names with several answers that differ."""
    other: str = ""
    """The first name that no label has, for messages."""

    def find(self, place: Place) -> Estimates:
        """Return the estimates for a face.

        Raises:
            NoAnswerError: there are none, or the table does not say which face it labels.
        """
        if place.name in self.ambiguous:
            raise NoAnswerError("several different answers have this name")
        if place.name not in self.images:
            raise NoAnswerError(self.absent.get(place.name) or self._unknown())
        images = self.images[place.name]
        image = place.image or _only(images, "image")
        if image not in images:
            raise NoAnswerError("no image has this number")
        faces = images[image]
        if not faces:
            raise NoAnswerError("the image has an error" if faces is None else "no face was found")
        face = place.face or _only(faces, "face")
        if face not in faces:
            raise NoAnswerError("no face has this number")
        return faces[face]

    def _unknown(self) -> str:
        others = f"; other answers have names such as {printable(self.other)}" if self.other else ""
        return f"no answer has this name{others}"

    def add(self, name: str, release: str, image: int, faces: Faces | None) -> None:
        """Add an image, or some of its faces.

        The same answer may come twice: Cloud Logging may write an entry twice, and callers repeat what failed.
        """
        if name not in self.wanted:
            self.other = self.other or name
            return
        images = self.images.setdefault(name, {})
        known = images.get(image)
        images[image] = known if faces is None else {**(known or {}), **faces}
        differs = any(faces[number] != each for number, each in (known or {}).items() if faces and number in faces)
        if differs or self.releases.setdefault(name, release) != release:
            self.ambiguous.add(name)


def _only(numbers: Collection[int], what: str) -> int:
    if len(numbers) != 1:
        raise NoAnswerError(f"the answer has {len(numbers)} {what}s, and the table does not number them")
    return next(iter(numbers))


def from_logs(logs: str, wanted: Collection[str], since: datetime | None = None) -> LiveAnswers:
    """Return the answers in the log of a function that ran with LOG_FACES.

    Args:
        logs: a file, a folder or gs://bucket/folder.
        wanted: request ids.
        since: earlier requests are ignored.

    Raises:
        StepError: the log cannot be read, or no line is a line of the function.
    """
    answers = LiveAnswers(wanted)
    found = False
    for entry in _requests(logfiles.lines(logs, since)):
        found = True
        if since is None or datetime.fromisoformat(entry.time) >= since:
            _add_entry(answers, entry)
    if not found and since is None:
        raise StepError(
            f"{logs}: no line is a request in the function's log; give its JSON lines (LOG_LEVEL=INFO), or entries of "
            "Cloud Logging as JSON"
        )
    return answers


def _requests(lines: Iterable[bytes]) -> Iterator[entries.Entry]:
    for line in lines:
        try:
            yield entries.parse(line)
        # A line can be truncated or overwritten anywhere. It must not stop the reading.
        except (NotARequestError, ValueError, TypeError, RecursionError):
            continue


def _add_entry(answers: LiveAnswers, entry: entries.Entry) -> None:
    fields, name = entry.fields, str(entry.fields.get(REQUEST, ""))
    try:
        for number, faces in enumerate(fields.get("estimates", ()), 1):
            found = None if faces is None else dict(enumerate(map(_of_line, faces), 1))
            answers.add(name, str(fields[RELEASE]), number, found)
        failed = int(entry.http["status"]) >= HTTPStatus.BAD_REQUEST
        absence = "the request failed" if failed else "logged without estimates: LOG_FACES was off, or it was a summary"
    except (TypeError, ValueError, KeyError, AttributeError):
        absence = "its line in the log is damaged"
    if name in answers.wanted:
        answers.absent[name] = absence


def _of_line(face: Mapping[str, list[Any]]) -> Estimates:
    return Estimates(
        AgeEstimate(*map(int, face[AGE])) if AGE in face else None,
        {head: LabelEstimate(str(value[0]), float(value[1])) for head, value in face.items() if head != AGE},
    )


def from_files(names: Iterable[str], wanted: Collection[str]) -> LiveAnswers:
    """Return the answers in files that `age-gender predict --json` or `batch` wrote, or of saved responses.

    A saved response is a line of JSON: the response's body, and the member `request_id`.

    Args:
        names: .jsonl or .parquet files.
        wanted: request ids, or names of images.

    Raises:
        StepError: a file cannot be read, or a row has no name.
    """
    answers = LiveAnswers(wanted)
    for name in names:
        try:
            for row in answer_files.read(name):
                _add_row(answers, row, parquet=name.endswith(PARQUET))
        except AnswersError as error:
            raise StepError(str(error)) from error
    return answers


def _add_row(answers: LiveAnswers, row: Row, *, parquet: bool) -> None:
    columns = row.columns
    name = columns.get(REQUEST) or columns.get(FILE)
    if not name:
        raise StepError(f"{row.place} has neither {REQUEST} nor {FILE}; add the id in the response's X-Request-Id")
    try:
        faces = [_of_columns(columns)] if parquet and row.faces else [_of_json(face) for face in row.faces]
    except (TypeError, ValueError, KeyError) as error:
        raise StepError(f"{row.place} has estimates of another form ({error!r})") from error
    image, face = columns.get(IMAGE), columns.get(FACE)
    first = face if isinstance(face, int) else 1
    found = None if row.failed else dict(enumerate(faces, first))
    answers.add(str(name), _release(row), image if isinstance(image, int) else 1, found)


def _of_json(face: Mapping[str, Any]) -> Estimates:
    parsed = parse_estimates(face)
    return Estimates(parsed["age"], parsed["choices"])


def _of_columns(row: Mapping[str, Any]) -> Estimates:
    heads = [head for head in HEADS if row.get(head) is not None]
    return _of_line({head: [row[column] for column in head_columns([head])] for head in heads})


def _release(row: Row) -> str:
    """Return the version that a row, one of its faces, or the response states."""
    model = row.columns.get("model")
    stated = [row.columns.get(RELEASE), *(face.get(RELEASE) for face in row.faces)]
    stated += [model.get("version")] if isinstance(model, dict) else []
    return next((str(version) for version in stated if version), "")

"""The typed prediction: from the function's JSON, back to it, and as a flat row for files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Self, TypeVar, get_type_hints

from serving.heads import AGE
from serving.prediction import PROBABILITIES, RELEASE, AgeEstimate, InputWarning, LabelEstimate

Estimate = AgeEstimate | LabelEstimate
E = TypeVar("E", AgeEstimate, LabelEstimate)

FILE, WARNINGS = "file", "warnings"
_FIELDS: dict[type, dict[str, type]] = {kind: get_type_hints(kind) for kind in (AgeEstimate, LabelEstimate)}


@dataclass(frozen=True)
class PredictionError:
    """Why an image has no prediction: the members of RFC 9457."""

    status: int
    """HTTP status."""
    title: str
    """The status in words."""
    detail: str
    """What was found, and what to do."""
    type: str = "about:blank"
    """URI of the kind of problem."""


@dataclass(frozen=True)
class Estimates:
    """The estimates for one face: those of the enabled heads."""

    age: AgeEstimate | None = None
    """None where the server has this head disabled."""
    choices: Mapping[str, LabelEstimate] = field(default_factory=dict, hash=False)
    """Label estimates by head. Left out of the hash because a dict has none."""
    warnings: tuple[InputWarning, ...] = ()
    """Empty for a face without complaint."""
    probabilities: Mapping[str, Sequence[int]] = field(default_factory=dict, hash=False)
    """What the estimates were chosen from, by head, if it was asked for: see `serving.demographics.answers`."""
    release: str = ""
    """Version of the release that the probabilities are of."""

    @property
    def gender(self) -> LabelEstimate | None:
        """The gender, or None where the server has this head disabled."""
        return self.choices.get("gender")

    @property
    def ethnicity(self) -> LabelEstimate | None:
        """The ethnicity, or None where the server has this head disabled."""
        return self.choices.get("ethnicity")

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every estimate by head, the age first."""
        return {**({AGE: self.age} if self.age else {}), **self.choices}

    def as_json(self) -> dict[str, Any]:
        """Return the function's own JSON; members without a value are left out."""
        members: dict[str, Any] = {head: estimate._asdict() for head, estimate in self.estimates.items()}
        if self.probabilities:
            members[PROBABILITIES] = {head: list(numbers) for head, numbers in self.probabilities.items()}
            members[RELEASE] = self.release
        if self.warnings:
            members[WARNINGS] = [warning._asdict() for warning in self.warnings]
        return members

    def as_cells(self, heads: Sequence[str]) -> dict[str, Any]:
        """Return the values of `head_columns(heads)`; None where there is no value."""
        cells: dict[str, Any] = {}
        for head in heads:
            names = _columns(head)
            cells |= zip(names, self.estimates.get(head) or [None] * len(names), strict=True)
        return cells

    def as_probability_cells(self) -> dict[str, Any]:
        """Return the values of `probability_columns`; none where nobody asked for them."""
        if not self.probabilities:
            return {}
        return {
            **{_probabilities(head): list(each) for head, each in self.probabilities.items()},
            RELEASE: self.release,
        }


@dataclass(frozen=True)
class Prediction(Estimates):
    """The prediction for an image of one aligned face: its estimates, or `error` and none."""

    error: PredictionError | None = None
    """None where there are estimates."""

    @classmethod
    def parse(cls, prediction: Mapping[str, Any]) -> Self:
        """Read one item of the function's `predictions`. Unknown members are ignored.

        Raises:
            TypeError, ValueError: a member has another shape.
            KeyError: a value is missing.
        """
        return cls(**parse_estimates(prediction), error=parse_error(prediction))

    @staticmethod
    def columns(heads: Sequence[str]) -> dict[str, type]:
        """Return the columns of a file of predictions, with their types.

        The image's name comes first, then the columns of the heads. The last column lists the codes of the warnings,
        separated by commas.
        """
        return {FILE: str, **head_columns(heads), WARNINGS: str}

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads with an estimate."""
        return tuple(self.estimates)

    def as_json(self) -> dict[str, Any]:
        """Return the function's own JSON; members without a value are left out."""
        return {**super().as_json(), **({"error": asdict(self.error)} if self.error else {})}

    def as_rows(self, name: str, heads: Sequence[str]) -> list[dict[str, Any]]:
        """Return one row: the values of `columns(heads)` for the image called `name`; None where there is no value."""
        return [{FILE: name, **self.as_cells(heads), WARNINGS: codes(self.warnings), **self.as_probability_cells()}]


def head_columns(heads: Sequence[str]) -> dict[str, type]:
    """Return the columns of the heads: the first field under the head's own name, the others as `<head>_<field>`."""
    return {name: kind for head in heads for name, kind in _columns(head).items()}


def probability_columns(heads: Sequence[str]) -> dict[str, type]:
    """Return the columns that a file of predictions with probabilities has after the others."""
    return {**{_probabilities(head): list for head in heads}, RELEASE: str}


def read_probabilities(row: Mapping[str, Any], heads: Sequence[str]) -> dict[str, Any]:
    """Return the probabilities by head that a row of a file has."""
    return {head: found for head in heads if (found := row.get(_probabilities(head))) is not None}


def codes(warnings: Iterable[InputWarning]) -> str | None:
    """Return the codes of warnings, separated by commas; None where there is no warning."""
    return ",".join(warning.code for warning in warnings) or None


def parse_estimates(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of `Estimates`. Unknown members are ignored.

    Raises:
        TypeError, ValueError: a member has another shape.
        KeyError: a value is missing.
    """
    age = prediction.get(AGE)
    return {
        "age": None if age is None else _estimate(AgeEstimate, age),
        # A server may have heads that this client has never heard of.
        "choices": {
            head: _estimate(LabelEstimate, value)
            for head, value in prediction.items()
            if isinstance(value, Mapping) and "label" in value
        },
        "warnings": parse_warnings(prediction),
        "probabilities": {
            str(head): [int(number) for number in numbers]
            for head, numbers in prediction.get(PROBABILITIES, {}).items()
        },
        "release": str(prediction.get(RELEASE, "")),
    }


def parse_warnings(owner: Mapping[str, Any]) -> tuple[InputWarning, ...]:
    """Read the warnings of a prediction or of an image."""
    return tuple(InputWarning(str(each["code"]), str(each["detail"])) for each in owner.get(WARNINGS, ()))


def parse_error(prediction: Mapping[str, Any]) -> PredictionError | None:
    """Read the problem of an image, if it has one."""
    error = prediction.get("error")
    return None if error is None else parse_problem(error)


def parse_problem(problem: Mapping[str, Any]) -> PredictionError:
    """Read problem details of RFC 9457, which makes all members optional."""
    return PredictionError(
        int(problem.get("status", 0)),
        str(problem.get("title", "")),
        str(problem.get("detail", "")),
        str(problem.get("type", PredictionError.type)),
    )


def _estimate(kind: type[E], value: Mapping[str, Any]) -> E:
    return kind(**{name: read(value[name]) for name, read in _FIELDS[kind].items()})


def _probabilities(head: str) -> str:
    return f"{head}_{PROBABILITIES}"


@cache
def _columns(head: str) -> dict[str, type]:
    first, *others = _FIELDS[AgeEstimate if head == AGE else LabelEstimate].items()
    return {head: first[1], **{f"{head}_{name}": kind for name, kind in others}}

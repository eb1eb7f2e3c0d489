"""One prediction as it travels: JSON in, typed answers out, needing nothing but the standard library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Age:
    """Whole years; the stated share of people of such a face is from `low` to `high` years old."""

    years: int
    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """The most likely label, and how likely it is (0 to 1)."""

    label: str
    probability: float


@dataclass(frozen=True)
class PredictionWarning:
    """Why an answer deserves less trust."""

    code: str
    detail: str


@dataclass(frozen=True)
class PredictionError:
    """Why an image was not answered: the members of RFC 9457."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


@dataclass(frozen=True)
class Prediction:
    """What was answered for one image: the heads that are switched on, or `error` and no head."""

    age: Age | None = None
    # by head; answers stay hashable
    choices: Mapping[str, Choice] = field(default_factory=dict, hash=False)
    warnings: tuple[PredictionWarning, ...] = ()
    error: PredictionError | None = None

    @property
    def gender(self) -> Choice | None:
        """None where the server does not answer it."""
        return self.choices.get("gender")

    @property
    def ethnicity(self) -> Choice | None:
        """None where the server does not answer it."""
        return self.choices.get("ethnicity")

    def as_json(self) -> dict[str, Any]:
        """The function's own JSON: members without a value are left out."""
        members = asdict(self)
        heads = {"age": members.pop("age"), **members.pop("choices")}
        return {name: value for name, value in (heads | members).items() if value}


def parse(prediction: Mapping[str, Any]) -> Prediction:
    """One item of the function's `predictions`; members that are unknown here are passed over.

    Raises:
        TypeError: a member has another shape.
        KeyError: a value is missing.
    """
    return Prediction(
        age=_member(prediction.get("age"), _age),
        choices={name: _choice(value) for name, value in prediction.items() if _is_choice(value)},
        warnings=tuple(
            PredictionWarning(str(each["code"]), str(each["detail"])) for each in prediction.get("warnings", ())
        ),
        error=_member(prediction.get("error"), failure),
    )


def failure(problem: Mapping[str, Any]) -> PredictionError:
    """Problem details of RFC 9457; all of their members are optional there."""
    return PredictionError(
        int(problem.get("status", 0)),
        str(problem.get("title", "")),
        str(problem.get("detail", "")),
        str(problem.get("type", PredictionError.type)),
    )


def _member(value: Any, read: Callable[[Any], T]) -> T | None:
    return None if value is None else read(value)


def _is_choice(value: Any) -> bool:
    """Whatever the head is called: a server may answer more of them than this client has heard of."""
    return isinstance(value, Mapping) and "label" in value


def _age(value: Mapping[str, Any]) -> Age:
    return Age(int(value["years"]), int(value["low"]), int(value["high"]))


def _choice(value: Mapping[str, Any]) -> Choice:
    return Choice(str(value["label"]), float(value["probability"]))

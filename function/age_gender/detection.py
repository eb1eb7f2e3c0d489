"""The typed faces of one whole image: from the function's JSON, back to it, and as flat rows for files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeVar

from age_gender.prediction import (
    FILE,
    WARNINGS,
    Estimates,
    Prediction,
    PredictionError,
    codes,
    head_columns,
    parse_error,
    parse_estimates,
    parse_warnings,
)
from serving.prediction import TOO_MANY_FACES, FaceBox, InputWarning

SIDES = ("width", "height")
"""Columns with the pixels of the upright image."""
_FACE_COLUMNS: dict[str, type] = {
    **dict.fromkeys(SIDES, int),
    "faces": int,
    "face": int,
    **{f"box_{name}": float for name in FaceBox._fields},
    "score": float,
}
_NO_BOX = dict.fromkeys(FaceBox._fields)


@dataclass(frozen=True, kw_only=True)
class Face(Estimates):
    """One face of an image, and the estimates for it."""

    box: FaceBox
    """Where it is, in shares of the upright image's width and height. It may reach beyond the image."""
    landmarks: Mapping[str, tuple[float, float]] = field(hash=False)
    """x and y of `serving.prediction.LANDMARKS` by name, in the same shares. Right and left are the person's."""
    score: float
    """How sure the detector is, 0 to 1."""

    @classmethod
    def parse(cls, face: Mapping[str, Any]) -> Self:
        """Read one item of the function's `faces`. Unknown members are ignored.

        Raises:
            TypeError, ValueError: a member has another shape.
            KeyError: a value is missing.
        """
        return cls(
            **parse_estimates(face),
            box=FaceBox(*(_finite(face["box"][name]) for name in FaceBox._fields)),
            landmarks={str(name): (_finite(x), _finite(y)) for name, (x, y) in face["landmarks"].items()},
            score=_finite(face["score"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the function's own JSON; members without a value are left out."""
        landmarks = {name: list(point) for name, point in self.landmarks.items()}
        return {"box": self.box._asdict(), "landmarks": landmarks, "score": self.score, **super().as_json()}


@dataclass(frozen=True)
class Detection:
    """The faces of one image, or `error` and none."""

    width: int = 0
    """Pixels of the upright image."""
    height: int = 0
    """Pixels of the upright image."""
    faces: tuple[Face, ...] = ()
    """Largest first. Empty where no face was found."""
    warnings: tuple[InputWarning, ...] = ()
    """About the whole image, such as more faces than are listed."""
    error: PredictionError | None = None
    """None where the image was searched."""

    @classmethod
    def parse(cls, detection: Mapping[str, Any]) -> Self:
        """Read one item of the `predictions` that the function finds in whole images. Unknown members are ignored.

        Raises:
            TypeError, ValueError: a member has another shape.
            KeyError: a value is missing.
        """
        if error := parse_error(detection):
            return cls(error=error)
        width, height = (int(detection[name]) for name in SIDES)
        return cls(width, height, tuple(map(Face.parse, detection["faces"])), parse_warnings(detection))

    @staticmethod
    def columns(heads: Sequence[str]) -> dict[str, type]:
        """Return the columns of a file with one row a face, with their types.

        They are the image's name, its width and height in pixels, how many faces it has, the number of this one from 1
        on, its box in shares of the image, its score, and the columns of the heads. The last column lists the codes of
        the face's warnings and of the image's, separated by commas.
        """
        return {FILE: str, **_FACE_COLUMNS, **head_columns(heads), WARNINGS: str}

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads with an estimate; none where there is no face."""
        return tuple(self.faces[0].estimates) if self.faces else ()

    def as_json(self) -> dict[str, Any]:
        """Return the function's own JSON; members without a value are left out."""
        if self.error:
            return {"error": asdict(self.error)}
        return {**self._sides(), "faces": [face.as_json() for face in self.faces], **self._warned()}

    def as_rows(self, name: str, heads: Sequence[str]) -> list[dict[str, Any]]:
        """Return the values of `columns(heads)` for each face of the image called `name`; None where there is no value.

        An image without a face has one row too. Its number of faces is 0, or None if it could not be searched.
        """
        if self.error:
            return [{FILE: name, **dict.fromkeys(_FACE_COLUMNS), **Estimates().as_cells(heads), WARNINGS: None}]
        image = {FILE: name, **self._sides(), "faces": len(self.faces)}
        return [
            {
                **image,
                "face": number,
                **{f"box_{side}": share for side, share in (face.box._asdict() if face else _NO_BOX).items()},
                "score": face.score if face else None,
                **(face or Estimates()).as_cells(heads),
                WARNINGS: codes((*(face.warnings if face else ()), *self.warnings)),
                **(face or Estimates()).as_probability_cells(),
            }
            for number, face in self._numbered()
        ]

    def as_json_rows(self) -> list[dict[str, Any]]:
        """Return one JSON object a face: the face's own, after the size of the image and its number of faces.

        An image without a face has one too, whose `face` is null. An image with an error has none.
        """
        if self.error:
            return []
        image = {**self._sides(), "faces": len(self.faces)}
        return [
            {**image, "face": number, **(face.as_json() if face else {}), **self._warned(face)}
            for number, face in self._numbered()
        ]

    def _numbered(self) -> list[tuple[int, Face] | tuple[None, None]]:
        return [*enumerate(self.faces, 1)] or [(None, None)]

    def _sides(self) -> dict[str, int]:
        return {"width": self.width, "height": self.height}

    def _warned(self, face: Face | None = None) -> dict[str, Any]:
        """Return the member for the warnings of the image, after those of one face."""
        warnings = (*(face.warnings if face else ()), *self.warnings)
        return {WARNINGS: [warning._asdict() for warning in warnings]} if warnings else {}


Result = TypeVar("Result", Prediction, Detection)
"""What there is to know about one image: the prediction for its only face, or its faces."""


def detect_all(images: list[bytes], detect: Callable[[list[bytes]], list[Detection]]) -> list[Detection]:
    """Return the faces of each image, in order, as many as if each image were alone.

    A function may list fewer faces of an image that comes with others. Such an image is asked for again, alone.

    Args:
        images: one or more files, or none.
        detect: finds the faces of images that come together.
    """
    found = detect(images)
    if len(images) == 1:
        return found
    return [_alone(image, detect) if _is_cut(each) else each for image, each in zip(images, found, strict=True)]


def _alone(image: bytes, detect: Callable[[list[bytes]], list[Detection]]) -> Detection:
    (detection,) = detect([image])
    return detection


def _is_cut(detection: Detection) -> bool:
    return any(warning.code == TOO_MANY_FACES for warning in detection.warnings)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} where a number is expected")
    return number

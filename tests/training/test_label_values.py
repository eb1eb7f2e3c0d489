"""Cells of a table become ages, ranges, class indices or missing labels; others get a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data import label_values, values_file
from training.errors import StepError
from training.labels import CHOICES, ETHNICITIES, MAX_AGE, MISSING, LabelError

GENDER, ETHNICITY = CHOICES[:2]
UNKNOWN = (MISSING, MISSING)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("25", (25, 25)),
        (" 25.0 ", (25, 25)),
        ("25.9", (25, 25)),
        ("0", (0, 0)),
        ("25 years old", (25, 25)),
        ("20-29", (20, 29)),
        ("20 – 29", (20, 29)),  # noqa: RUF001 - the dash of word processors
        ("20 to 29 years", (20, 29)),
        ("(25, 32)", (25, 32)),
        ("(8, 23)", (8, 23)),
        ("[25, 32]", (25, 32)),
        ("(20, 30]", (21, 30)),
        ("[20, 30)", (20, 29)),
        ("70+", (70, MAX_AGE)),
        ("more than 70", (70, MAX_AGE)),
        ("More Than 70", (70, MAX_AGE)),
        ("70 and over", (70, MAX_AGE)),
        ("70 or older", (70, MAX_AGE)),
        (">70", (71, MAX_AGE)),
        (">= 70", (70, MAX_AGE)),
        ("under 3", (0, 2)),
        ("<=3", (0, 3)),
        ("60-120", (60, MAX_AGE)),
        ("(60, 100)", (60, 100)),
        ("", UNKNOWN),
        ("NaN", UNKNOWN),
        ("None", UNKNOWN),
        ("unknown", UNKNOWN),
        ("-1", UNKNOWN),
        ("<NA>", UNKNOWN),
    ],
)
def test_an_age_is_a_number_a_range_open_or_missing(cell: str, expected: tuple[int, int]) -> None:
    assert label_values.age(cell) == expected


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1987-05-23", "age is a date: '1987-05-23'; a date of birth gives an age only together with the date of the"),
        ("1987-05-23 00:00:00", "age is a date"),
        ("23.05.1987", "age is a date"),
        ("5/23/87", "age is a date"),
        ("1987", "age is a year: '1987'"),
        ("-5", "label out of range: age is -5, expected 0 to 116; -1 or an empty cell is no age"),
        ("117", "label out of range: age is 117, expected 0 to 116"),
        ("130-140", "label out of range: age is 130"),
        ("32-25", "age range is reversed: '32-25'"),
        ("adult", "age not understood: 'adult', expected a number (25), a range (20-29) or an open one (70+)"),
        ("25,32", "age not understood"),
        ("1e2", "age not understood"),
    ],
)
def test_other_ages_get_a_sentence(cell: str, said: str) -> None:
    with pytest.raises(LabelError) as raised:
        label_values.age(cell)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *((cell, 0) for cell in ("male", "Male", " M ", "m", "0", "0.0", "man")),
        *((cell, 1) for cell in ("female", "F", "1", "1.0", "woman")),
        *((cell, MISSING) for cell in ("", "u", "nan", "None", "unknown")),
    ],
)
def test_a_gender_is_a_word_a_letter_or_utkfaces_number(cell: str, expected: int) -> None:
    assert label_values.choice(GENDER, cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("White", "white"),
        ("Black", "black"),
        ("East Asian", "asian"),
        ("Southeast Asian", "asian"),
        ("Indian", "indian"),
        ("Middle Eastern", "other"),
        ("Latino_Hispanic", "other"),
        ("Others", "other"),
        ("4", "other"),
    ],
)
def test_an_ethnicity_is_one_of_ours_fairfaces_or_utkfaces(cell: str, expected: str) -> None:
    assert ETHNICITIES[label_values.choice(ETHNICITY, cell)] == expected


@pytest.mark.parametrize("cell", ["2", "-1", "true", "1987-05-23", "diverse"])
def test_another_gender_gets_a_sentence(cell: str) -> None:
    with pytest.raises(LabelError, match=f"gender not understood: '{cell}', expected male, female or 0 to 1"):
        label_values.choice(GENDER, cell)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_file_maps_words_to_labels(form: str, tmp_path: Path) -> None:
    values = {"gender": {"Femme ": "female"}, "sexe": {"homme": "m"}, "age": {"0": "", "adult": "18-64"}}
    rows = [f"{head},{cell},{label}" for head, labels in values.items() for cell, label in labels.items()]
    text = json.dumps(values) if form == "json" else "\n".join(["column,found,label", *rows])
    (tmp_path / "values").write_text(text, encoding="utf-8-sig")
    assert values_file.load(tmp_path / "values", {"sexe": "gender"}) == {
        "gender": {"femme": "female", "homme": "m"},
        "age": {"0": "", "adult": "18-64"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("column,found,label\nage,x,old", "line 2 of values maps 'x' to no label: age not understood: 'old'"),
        (
            "column,found,label\nsex,x,male",
            "line 2 of values names the column 'sex'; expected one of age, gender, ethnicity, sexe",
        ),
        ("column,found\nage,x", "values has no column 'label'"),
        ('{"gender": "x"}', "has no object for 'gender'"),
        ('{"gender": {', "cannot be read"),
    ],
)
def test_a_file_of_values_with_a_fault_gets_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "values").write_text(text)
    with pytest.raises(StepError, match=said):
        values_file.load(tmp_path / "values", {"sexe": "gender"})

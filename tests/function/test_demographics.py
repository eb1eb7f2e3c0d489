"""Shares of a crowd, corrected with the statistics of the bundled release."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from serving import release
from serving.demographics import adjusted, answers, bands, comparison, confusion, mixture, responses
from serving.demographics.bands import BandsError
from serving.demographics.confusion import YEARS, Array, Confusion
from serving.demographics.crowd import NOTHING, Crowd
from serving.demographics.summary import Corrector, EmptyCrowdError
from serving.release import Release, ReleaseError
from tests.conftest import FUNCTION

FEW = 40


@pytest.fixture(scope="module")
def bundled() -> Release:
    return release.load(str(FUNCTION / "model"))


@pytest.fixture(scope="module")
def known(bundled: Release) -> Confusion:
    return confusion.parse(bundled.manifest, bundled.labels)


@pytest.fixture(scope="module")
def corrector(known: Confusion) -> Corrector:
    return Corrector(known, FEW)


def shares(women: float, age: float, width: float = 8) -> Array:
    """(2, YEARS): the same ages for both genders."""
    ages = np.exp(-0.5 * ((np.arange(YEARS) - age) / width) ** 2)
    result: Array = np.outer((1 - women, women), ages / ages.sum())
    return result


def crowd(known: Confusion, true: Array, faces: int, seed: int = 1) -> Crowd:
    """Answers that a crowd with these shares gets, drawn from the release's own responses."""
    expected = mixture.expected(true[None], responses.of(known, known.heads["gender"]))[0]
    grid = np.random.default_rng(seed).multinomial(faces, (expected / expected.sum()).ravel()).reshape(expected.shape)
    years = np.zeros((2, YEARS), np.int64)
    years[0, 30] = faces
    return Crowd(years, {"gender": grid})


@pytest.mark.parametrize(("women", "age"), [(0.1, 8), (0.9, 8), (0.1, 35), (0.5, 65)])
def test_the_true_share_is_found_where_counting_is_wrong(
    corrector: Corrector, known: Confusion, women: float, age: float
) -> None:
    found = corrector.summary(crowd(known, shares(women, age), 20_000)).heads["gender"]["female"]
    assert abs(found.value - women) < 0.02
    assert found.low <= women <= found.high
    if age == 8:
        assert abs(found.counted - women) > 2 * abs(found.value - women)


def test_ages_are_found(corrector: Corrector, known: Confusion) -> None:
    true = shares(0.5, 35)
    found = corrector.summary(crowd(known, true, 20_000), bands.parse("0-24,25-34,35-44,45+"))
    for band in bands.parse("0-24,25-34,35-44,45+"):
        assert abs(found.bands[band.name].value - band.share(true.sum(axis=0))) < 0.03
    assert abs(found.mean_age.value - 35) < 1
    assert abs(found.median_age.value - 35) < 1.5
    parts = [figure.value for figures in found.pyramid.values() for figure in figures.values()]
    assert sum(parts) == pytest.approx(1, abs=1e-6)


def test_more_faces_narrow_the_interval_down_to_what_the_release_does_not_know(
    corrector: Corrector, known: Confusion
) -> None:
    found = [
        corrector.summary(crowd(known, shares(0.3, 30), faces)).heads["gender"]["female"]
        for faces in (100, 1000, 100_000, 1_000_000)
    ]
    widths = [figure.high - figure.low for figure in found]
    assert all(first > second for first, second in pairwise(widths[:3]))
    assert widths[3] > 0.5 * widths[2]


def test_intervals_hold_the_truth_of_crowds_of_new_faces(corrector: Corrector, known: Confusion) -> None:
    """Crowds of the release's own responses vary less than real ones, so the intervals hold at least 95 %."""
    true, held = shares(0.2, 30, 15), 0
    for seed in range(40):
        figure = corrector.summary(crowd(known, true, 300, seed)).heads["gender"]["female"]
        held += figure.low <= 0.2 <= figure.high
    assert held >= 36


def test_the_fit_tells_answers_that_no_shares_explain(corrector: Corrector, known: Confusion) -> None:
    good = crowd(known, shares(0.4, 30), 1000)
    assert not corrector.summary(good).fit.poor
    # Another camera: every adult face is between the genders, as hardly any was among the validation faces.
    grid = np.zeros_like(good.grids["gender"])
    grid[40:60, [0, 5]] = 25
    assert corrector.summary(Crowd(good.years, {"gender": grid})).fit.poor


def test_crowds_add_up_in_any_order_and_survive_json(known: Confusion) -> None:
    random = np.random.default_rng(1)
    parts = []
    for faces in (10, 20, 30):
        part = Crowd.empty(known, ("gender", "ethnicity"))
        part.add(
            known,
            random.integers(0, 110, faces),
            random.uniform(0, 90, faces),
            {"gender": random.dirichlet((1, 1), faces), "ethnicity": random.dirichlet(np.ones(5), faces)},
        )
        parts.append(Crowd.parse(json.loads(json.dumps(part.as_json()))))
    first, second = (parts[0] + parts[1]) + parts[2], parts[2] + (parts[1] + parts[0])
    assert first.as_json() == second.as_json()
    assert first.faces == 60
    assert all(grid.sum() == 60 for grid in first.grids.values())


def test_equal_crowds_have_equal_figures(known: Confusion) -> None:
    same = crowd(known, shares(0.3, 40), 200)
    assert Corrector(known, FEW).summary(same) == Corrector(known, FEW).summary(same)


def test_ages_alone_are_corrected_too(corrector: Corrector, known: Confusion) -> None:
    alone = Crowd.empty(known, ("age",))
    ages = shares(0.5, 30).sum(axis=0)
    levels = ages @ responses.of(known, known.heads["gender"].age_only()).levels[0, 0]
    drawn = np.random.default_rng(1).choice(len(levels), 300, p=levels / levels.sum())
    means = np.concatenate([known.scale, [90]])[drawn] - 1e-6
    alone.add(known, np.full(300, 30), means, {})
    found = corrector.summary(alone)
    assert list(alone.grids) == [NOTHING]
    assert (found.heads, found.pyramid) == ({}, {})
    assert found.bands["20-39"].low < ages[20:40].sum() < found.bands["20-39"].high
    assert not found.fit.poor


def test_adjusted_counts_undo_the_confusion_and_stay_shares(known: Confusion) -> None:
    for statistics in known.heads.values():
        number = len(statistics.labels)
        answered = statistics.answers.sum(axis=1).reshape(number, number, -1).sum(axis=2)
        truth = np.linspace(1, 3, number) / np.linspace(1, 3, number).sum()
        counted = truth @ (answered / answered.sum(axis=1, keepdims=True))
        assert adjusted.shares(counted, statistics) == pytest.approx(truth, abs=1e-9)
        # No crowd of these labels is answered like this.
        extreme = adjusted.shares(np.eye(number)[0], statistics)
        assert extreme.min() >= 0
        assert extreme.sum() == pytest.approx(1)


def test_the_check_agrees_where_ages_are_those_of_the_validation_faces(corrector: Corrector, known: Confusion) -> None:
    found = corrector.summary(crowd(known, shares(0.3, 34, 18), 1000))
    assert found.adjusted["gender"]["female"] == pytest.approx(found.heads["gender"]["female"].value, abs=0.05)


def test_a_crowd_without_a_face_has_no_figures(corrector: Corrector, known: Confusion) -> None:
    with pytest.raises(EmptyCrowdError):
        corrector.summary(Crowd.empty(known, ("gender",)))


def test_groups_differ_by_more_than_chance_or_not(corrector: Corrector, known: Confusion) -> None:
    equal: dict[comparison.Group, Crowd] = {
        ("a",): crowd(known, shares(0.4, 30), 500, 1),
        ("b",): crowd(known, shares(0.4, 30), 500, 2),
    }
    found = comparison.differences(corrector, equal, bands.DEFAULT)
    assert {each.group for each in found} == {("a",)}
    assert not any(each.significant for each in found)
    other = {**equal, ("c",): crowd(known, shares(0.7, 50), 500, 3)}
    apart = {
        (each.group, each.figure): each.difference
        for each in comparison.differences(corrector, other, bands.DEFAULT)
        if each.significant
    }
    assert apart[("c",), "female"] == pytest.approx(0.3, abs=0.1)
    assert apart[("c",), "mean age"] == pytest.approx(20, abs=4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0-17,18-x", "the band '18-x' is neither two ages"),
        ("", "the band '' is neither"),
        ("0-17,17-24,25+", "0-17 and 17-24 overlap at 17; begin with 18"),
        ("0-17,20-24,25+", "no band has the ages 18 to 19; let 20-24 begin with 18"),
        ("5-17,18+", "no band has the ages 0 to 4"),
        ("0-17,18-24", "no band has ages above 24; let the last one be 18+"),
        ("0-17,18+,30-40", "18+ has everybody from 18 on, so 30-40 overlaps it"),
        ("0-17,24-18", "the band 24-18 must rise"),
        ("0-120", "the band 0-120 must rise, and end at 100 at most"),
    ],
)
def test_bands_that_are_none_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(BandsError) as raised:
        bands.parse(text)
    assert complaint in str(raised.value)


def test_bands_share_all_ages_among_them() -> None:
    ages = np.full(YEARS, 1 / YEARS)
    assert sum(band.share(ages) for band in bands.parse("0-17, 18-24, 25+")) == pytest.approx(1)


def test_probabilities_survive_as_whole_numbers() -> None:
    random = np.random.default_rng(1)
    distributions = [*random.dirichlet(np.full(117, 0.2), 20), np.full(117, 1 / 117), np.eye(117)[0]]
    means = answers.read_mean_ages([answers.write_age(each) for each in distributions])
    assert means == pytest.approx([each @ np.arange(117) for each in distributions], abs=0.5)
    assert answers.write(np.array([0.98765, 0.01235])) == [9876, 124]
    assert answers.read_choice([[9876, 124]], 2)[0] == pytest.approx((0.9876, 0.0124), abs=1e-4)


@pytest.mark.parametrize("numbers", [[20], [20, 0, 0], [20, -1, 5], [1000, 5], []])
def test_an_age_without_shares_is_refused(numbers: list[int]) -> None:
    with pytest.raises((ValueError, IndexError)):
        answers.read_mean_ages([numbers])


def test_a_release_without_statistics_says_what_to_do(bundled: Release) -> None:
    manifest = {name: value for name, value in bundled.manifest.items() if name != confusion.MEMBER}
    with pytest.raises(ReleaseError, match=r"has no statistics to correct counts with.*training evaluate"):
        confusion.parse(manifest, bundled.labels)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": [1.0, 2.0]},
        {"centers": [2.0, 1.0]},
        {"gender": {}},
        {"gender": {"levels": [["1"]], "answers": [["1"]]}},
        {"faces": "many"},
    ],
)
def test_garbled_statistics_are_refused(bundled: Release, change: dict[str, object]) -> None:
    manifest = {**bundled.manifest, confusion.MEMBER: {**bundled.manifest[confusion.MEMBER], **change}}
    with pytest.raises(ReleaseError, match="the section demographics of release"):
        confusion.parse(manifest, bundled.labels)


def test_no_group_of_the_statistics_is_small(known: Confusion) -> None:
    """So no face can be told from the manifest."""
    for counts in known.heads.values():
        assert counts.levels.sum(axis=(0, 2)).min() >= 25
        assert counts.levels.sum() == counts.answers.sum() == known.faces

"""Feedback: labels meet their answers, the verdict errs as rarely as it says, and bad tables get their sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from age_gender import results
from age_gender.detection import Detection
from age_gender.prediction import Estimates, Prediction
from serving.prediction import AgeEstimate, LabelEstimate
from serving.request_stats import AGE_BANDS
from tests.loglines import BUNDLED, line, with_http, written
from training.config import FeedbackConfig
from training.errors import StepError
from training.evaluation.metrics import METRICS_FILE
from training.evaluation.samples import ScoredSamples
from training.labels import MISSING
from training.monitoring import feedback, live_answers, true_labels
from training.monitoring.feedback import judge, verdict
from training.monitoring.live_answers import Images, LiveAnswers, NoAnswerError
from training.monitoring.live_metrics import LiveFaces
from training.monitoring.live_verdict import FeedbackStatus
from training.monitoring.true_labels import Place, TrueLabels

CONFIG = FeedbackConfig()
MEASURED: dict[str, Any] = json.loads((BUNDLED / METRICS_FILE).read_text())
RELEASE: str = MEASURED["version"]
# First years of the bands, and a year inside each.
AGES = np.array([6, 16, 30, 50, 70])


def figure(metric: str) -> np.ndarray[Any, Any]:
    """Return a test metric by age band."""
    return np.array([row[metric]["value"] for row in MEASURED["by_age_band"]])


def live(random: np.random.Generator, faces: int, bands: list[float], worse: float = 0.0) -> LiveFaces:
    """Return faces that err as the bundled release's test faces do, or by so many years more, one a request."""
    band = random.choice(5, faces, p=bands)
    labels = np.stack([AGES[band], random.integers(0, 2, faces), np.full(faces, MISSING), AGES[band]], axis=1)
    years = AGES[band] + random.exponential(figure("age_mae")[band] + worse)
    covered = random.random(faces) < figure("interval_coverage")[band]
    right = random.random(faces) < figure("gender_accuracy")[band]
    gender = np.where(right, labels[:, 1], 1 - labels[:, 1])
    return LiveFaces(
        ScoredSamples(
            labels=labels.astype(np.uint8),
            years=years,
            low=np.where(covered, AGES[band], 110).astype(np.float64),
            high=np.where(covered, AGES[band], 116).astype(np.float64),
            choices=np.stack([gender, np.full(faces, -1)], axis=1),
            probabilities=np.stack([figure("gender_accuracy")[band], np.zeros(faces)], axis=1),
        ),
        np.arange(faces),
    )


MIXES = {"as the test faces": [0.14, 0.06, 0.5, 0.18, 0.12], "old": [0.02, 0.03, 0.15, 0.3, 0.5]}


@pytest.mark.parametrize("bands", MIXES.values(), ids=MIXES)
@pytest.mark.parametrize("faces", [60, 400, 3000])
def test_users_of_other_ages_and_chance_are_no_worsening(bands: list[float], faces: int) -> None:
    random = np.random.default_rng(1)
    alarms = sum(
        verdict(judge(live(random, faces, bands), MEASURED, CONFIG)) is FeedbackStatus.WORSE for _ in range(300)
    )
    # 1 % of 300, and three standard deviations.
    assert alarms <= 8


def test_old_users_would_be_a_worsening_for_a_plain_comparison() -> None:
    faces = live(np.random.default_rng(1), 3000, MIXES["old"])
    whole = next(one for one in judge(faces, MEASURED, CONFIG) if one.spec.name == "age_mae" and not one.group)
    assert whole.live.value > MEASURED["overall"]["age_mae"]["value"] + 1
    assert abs(whole.live.value - whole.reference.value) < 0.3


def test_a_worsening_is_found_as_often_as_stated() -> None:
    random = np.random.default_rng(2)
    found = 0
    for _ in range(60):
        comparisons = judge(live(random, 1500, MIXES["as the test faces"], worse=1.2), MEASURED, CONFIG)
        (age,) = [one for one in comparisons if one.spec.name == "age_mae" and not one.group]
        assert age.detectable < 1.2
        found += age.verdict is FeedbackStatus.WORSE
    assert found >= 60 * CONFIG.power


def test_few_labels_say_how_many_are_needed() -> None:
    random = np.random.default_rng(3)
    few = judge(live(random, 80, MIXES["as the test faces"]), MEASURED, CONFIG)
    assert verdict(few) is FeedbackStatus.TOO_FEW
    (age,) = [one for one in few if one.spec.name == "age_mae" and not one.group]
    assert 80 < age.needed < 3000
    many = judge(live(random, 2 * age.needed, MIXES["as the test faces"]), MEASURED, CONFIG)
    (age,) = [one for one in many if one.spec.name == "age_mae" and not one.group]
    assert age.verdict is FeedbackStatus.NOT_WORSE


def test_faces_of_one_request_do_not_pass_for_independent_ones() -> None:
    alone = live(np.random.default_rng(4), 200, MIXES["old"])
    values = alone.contributions()["age_mae"]
    everyone = np.ones(200, np.bool_)
    one = alone.estimate(values, everyone)
    # Each face ten times, as the frames of a film: no more is known than before.
    frames = LiveFaces(alone.scored, np.repeat(np.arange(20), 10))
    same = frames.estimate(np.repeat(values[:20], 10), everyone)
    assert one is not None
    assert same is not None
    assert same.requests == 20
    assert same.error == pytest.approx(float(values[:20].std(ddof=1)) / 20**0.5)
    assert same.error > 2 * one.error


def test_every_group_of_the_report_has_its_own_faces() -> None:
    faces = live(np.random.default_rng(5), 500, MIXES["old"])
    sizes = {tuple(names.values()): int(mask.sum()) for names, mask in faces.groups()}
    assert sizes[()] == 500
    assert sum(sizes[(name,)] for name in AGE_BANDS) == 500
    assert sizes[("male",)] + sizes[("female",)] == 500
    assert sizes[("female", "asian")] == 0


def estimates(years: int, gender: str = "male") -> Estimates:
    return Estimates(AgeEstimate(years, years - 5, years + 5), {"gender": LabelEstimate(gender, 0.9)})


def answers(**images: Images) -> LiveAnswers:
    found = LiveAnswers({*images, "quiet"})
    for name, each in images.items():
        for image, faces in each.items():
            found.add(name, RELEASE, image, faces)
    return found


FOUND: dict[str, Images] = {
    "one": {1: {1: estimates(30)}},
    "photo": {1: {1: estimates(30), 2: estimates(40)}},
    "two": {1: None, 2: {}},
}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Place("other", 0, 0), "no answer has this name"),
        (Place("one", 2, 0), "no image has this number"),
        (Place("one", 1, 2), "no face has this number"),
        (Place("photo", 1, 0), "the answer has 2 faces, and the table does not number them"),
        (Place("two", 0, 0), "the answer has 2 images, and the table does not number them"),
        (Place("two", 1, 0), "the image has an error"),
        (Place("two", 2, 0), "no face was found"),
    ],
)
def test_a_label_without_its_answer_says_why(place: Place, reason: str) -> None:
    with pytest.raises(NoAnswerError, match=reason.replace("(", r"\(")):
        answers(**FOUND).find(place)


def test_a_label_meets_its_face() -> None:
    known = answers(**FOUND)
    assert known.find(Place("one", 0, 0)) == known.find(Place("one", 1, 1)) == estimates(30)
    assert known.find(Place("photo", 0, 2)) == estimates(40)


def test_an_answer_that_comes_twice_counts_once_and_a_reused_id_not_at_all() -> None:
    known = answers(**FOUND)
    known.add("photo", RELEASE, 1, {1: estimates(30), 2: estimates(40)})
    assert known.find(Place("photo", 0, 2)) == estimates(40)
    known.add("one", RELEASE, 1, None)
    assert known.find(Place("one", 0, 0)) == estimates(30)
    known.add("one", RELEASE, 1, {1: estimates(31)})
    with pytest.raises(NoAnswerError, match="several different answers"):
        known.find(Place("one", 0, 0))


def test_a_failed_request_that_was_sent_again_has_the_answer_of_the_second() -> None:
    known = answers(two={1: None})
    known.add("two", RELEASE, 1, {1: estimates(50)})
    assert known.find(Place("two", 0, 0)) == estimates(50)


def test_labels_of_heads_that_were_not_answered_and_other_releases_do_not_count() -> None:
    known = LiveAnswers({"a", "b"})
    known.add("a", RELEASE, 1, {1: Estimates(None, {"gender": LabelEstimate("female", 0.7)})})
    known.add("b", "20200101-00000000", 1, {1: estimates(30)})
    labels = TrueLabels("table", {Place("a", 0, 0): (30, 1, 2, 30), Place("b", 0, 0): (30, 1, 2, 30)})
    joined = feedback.join(labels, known, RELEASE)
    assert joined.missing == {"answered by another release": 1}
    assert joined.faces is not None
    assert joined.faces.scored.labels.tolist() == [[MISSING, 1, MISSING, MISSING]]


def test_a_metric_with_few_labels_keeps_the_others_from_a_verdict_for_all() -> None:
    faces = live(np.random.default_rng(6), 3000, MIXES["as the test faces"])
    assert verdict(judge(faces, MEASURED, CONFIG)) is FeedbackStatus.NOT_WORSE
    faces.scored.labels[10:, 0] = faces.scored.labels[10:, 3] = MISSING
    comparisons = judge(faces, MEASURED, CONFIG)
    assert verdict(comparisons) is FeedbackStatus.TOO_FEW
    (age,) = [one for one in comparisons if one.spec.name == "age_mae"]
    # However far off these ten are.
    faces.scored.years[:10] = 110
    assert (age.live.requests, age.verdict) == (10, FeedbackStatus.TOO_FEW)
    (age,) = [one for one in judge(faces, MEASURED, CONFIG) if one.spec.name == "age_mae"]
    assert age.verdict is FeedbackStatus.TOO_FEW


def test_files_of_the_command_line_are_read_in_every_form(tmp_path: Path) -> None:
    """Whole images and aligned faces, as JSON lines and as Parquet, written by the code of `batch`."""
    face = {"age": {"years": 30, "low": 25, "high": 35}, "gender": {"label": "female", "probability": 0.9}}
    other = {**face, "age": {"years": 8, "low": 6, "high": 10}}
    place = {"box": dict.fromkeys(("left", "top", "width", "height"), 0.1), "landmarks": {}, "score": 0.9}
    photo = {"file": "p.jpg", "width": 9, "height": 9, "faces": [{**place, **face}, {**place, **other}]}
    aligned = {"file": "a.jpg", **face}
    (tmp_path / "predict.jsonl").write_text(f"{json.dumps(photo)}\n{json.dumps(aligned)}\n")
    files: list[str] = [str(tmp_path / "predict.jsonl")]
    for name, row, kind in (("p", photo, Detection), ("a", aligned, Prediction)):
        for heads, suffix in ((("age", "gender"), ".parquet"), (None, ".jsonl")):
            target = tmp_path / f"{name}{suffix}"
            with target.open("wb") as file:
                results.merge([json.dumps(row).encode() + b"\n"], file, io.BytesIO(), heads, kind)
            files.append(str(target))
    expected = Estimates(AgeEstimate(30, 25, 35), {"gender": LabelEstimate("female", 0.9)})
    for path in (each for each in files if Path(each).stem != "a"):
        known = live_answers.from_files([path, path], {"p.jpg"})
        assert known.find(Place("p.jpg", 0, 1)) == expected, path
        assert known.find(Place("p.jpg", 0, 2)).age == AgeEstimate(8, 6, 10), path
    for path in (each for each in files if Path(each).stem != "p"):
        assert live_answers.from_files([path], {"a.jpg"}).find(Place("a.jpg", 0, 0)) == expected, path


def test_a_line_without_estimates_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    quiet, failed = line(request_id="quiet"), with_http(503, request_id="failed")
    damaged = line(request_id="damaged", estimates=[[{"age": [30]}]])
    log.write_bytes(written([quiet, failed, damaged]))
    known = live_answers.from_logs(str(log), {"quiet", "failed", "damaged"})
    for name, reason in (("quiet", "LOG_FACES was off"), ("failed", "the request failed"), ("damaged", "damaged")):
        with pytest.raises(NoAnswerError, match=reason):
            known.find(Place(name, 0, 0))


def read(folder: Path, text: str, columns: str = "") -> TrueLabels:
    table = folder / "labels.csv"
    table.write_text(text)
    return true_labels.read(str(table), columns)


def test_a_table_names_faces_by_request_or_by_file(tmp_path: Path) -> None:
    by_request = read(tmp_path, "Request-ID;image;face;sex;age\nr1;2;1;f;30\nr1;2;2;m;20-29\nr2;;;;7\n")
    assert by_request.rows == {
        Place("r1", 2, 1): (30, 1, MISSING, 30),
        Place("r1", 2, 2): (20, 0, MISSING, 29),
        Place("r2", 0, 0): (7, MISSING, MISSING, 7),
    }
    by_file = read(tmp_path, "image,age,face\na.jpg,30,2.0\n")
    assert by_file.rows == {Place("a.jpg", 0, 2): (30, MISSING, MISSING, 30)}
    named = read(tmp_path, "ticket,alter\nr7,30\n", "file=ticket,age=alter")
    assert list(named.rows) == [Place("r7", 0, 0)]


def test_rows_that_label_no_face_are_counted_with_the_first_reason(tmp_path: Path) -> None:
    found = read(
        tmp_path, "request_id,face,age\nr1,,30\nr2,,300\n,,20\nr3,0,20\nr4,,20\nr4,,20\nr5,,20\nr5,,21\nr6,,\n"
    )
    assert [place.name for place in found.rows] == ["r1", "r4"]
    assert found.unusable == {"row without a usable label": 4, "other labels for the same face": 1}
    assert found.first_fault == "label out of range: age is 300, expected 0 to 116 (line 3 of labels.csv)"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "labels.csv is empty"),
        ("request_id,age\n", "no row of labels.csv labels a face"),
        ("request_id,age\nr1,old\n", "labels a face; the first row: age not understood: 'old'"),
        ("request_id,mood\nr1,good\n", "no column of age, gender, ethnicity"),
        ("id,age\n1,30\n", "no column with the names of the files"),
    ],
)
def test_a_table_without_labels_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(StepError, match=sentence):
        read(tmp_path, text)


def test_names_that_do_not_meet_are_shown(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"file": "faces/a.jpg", "gender": {"label": "male", "probability": 0.9}}\n')
    known = live_answers.from_files([str(kept)], {"a.jpg"})
    with pytest.raises(NoAnswerError, match=r"no answer has this name; other answers have names such as faces/a\.jpg"):
        known.find(Place("a.jpg", 0, 0))


def test_answers_without_a_name_are_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"predictions": [{"gender": {"label": "male", "probability": 0.9}}]}\n')
    with pytest.raises(StepError, match=r"line 1 of .*kept.jsonl has neither request_id nor file; add the id in"):
        live_answers.from_files([str(kept)], {"a"})

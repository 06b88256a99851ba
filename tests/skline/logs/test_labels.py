"""Labels: only added, idempotent, checked against the target; the last one that came counts."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import ValidationError

from skline.contract.spec import Column, Contract, Scalar
from skline.errors import SklineError
from skline.logs.labelfile import append_file
from skline.logs.labels import Appended, Label, Labels, Refused
from skline.logs.read import read_labelled, read_labels, values
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.store import StoreUnavailable
from skline.logs.writer import PredictionLog
from tests.skline.logs.conftest import CONTRACT, prediction

NOON = dt.datetime(2026, 1, 31, 12)


@pytest.fixture
def labels(settings: LogSettings) -> Iterator[Labels]:
    labels = Labels(settings, CONTRACT)
    yield labels
    labels.close()


def known(settings: LogSettings) -> dict[str, Scalar | None]:
    """The label that counts, by prediction id."""
    table = read_labelled(settings)
    return dict(zip(table["prediction_id"].to_pylist(), values(table["label"]), strict=True))


def test_a_label_sent_again_is_known_and_a_later_one_corrects_it(settings: LogSettings, labels: Labels) -> None:
    log = PredictionLog(settings)
    log.put_many([prediction(prediction_id=name) for name in "abc"])
    log.close()
    first = [Label(prediction_id="a", label=True), Label(prediction_id="b", label=False)]
    assert labels.append([*first, first[0]]) == Appended(new=2, known=1, refused=[])
    assert known(settings) == {"a": True, "b": False, "c": None}
    assert labels.append([Label(prediction_id="a", label=False)]).new == 1
    assert labels.append(first) == Appended(new=0, known=2, refused=[])
    assert known(settings) == {"a": False, "b": False, "c": None}
    assert values(read_labels(settings)["label"]) == [True, False, False]


def test_labels_find_predictions_by_entity_and_event_time(settings: LogSettings, labels: Labels) -> None:
    log = PredictionLog(settings)
    log.put(prediction(prediction_id="a", entity=17, event_time=to_us(NOON)))
    log.put(prediction(prediction_id="b", entity=17, event_time=to_us(NOON) + 1))
    log.put(prediction(prediction_id="c", entity="18", event_time=to_us(NOON)))
    log.close()
    elsewhere = NOON.replace(hour=13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert labels.append([Label(entity="17", event_time=elsewhere, label=True)]).new == 1
    assert known(settings) == {"a": True, "b": None, "c": None}
    labels.append([Label(prediction_id="a", label=False)])
    assert known(settings)["a"] is False
    assert "17" not in [row["entity"] for row in read_labels(settings).to_pylist()]


@limits(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sends=st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 1))), max_size=6))
def test_however_labels_are_sent_the_last_new_content_counts(
    sqlite: LogSettings, sends: list[list[tuple[str, bool, int]]]
) -> None:
    settings = sqlite.model_copy(update={"database": f"{sqlite.database}.{id(sends)}"})
    Path(settings.database).unlink(missing_ok=True)
    log = PredictionLog(settings)
    log.put_many([prediction(prediction_id=name) for name in "abc"])
    log.close()
    labels = Labels(settings, CONTRACT)
    counts: dict[str, bool | None] = dict.fromkeys("abc")
    seen: set[tuple[str, bool, int]] = set()
    for send in sends:
        new = 0
        for one in send:
            if one not in seen:
                seen.add(one)
                counts[one[0]] = one[1]
                new += 1
        some = [Label(prediction_id=a, label=b, event_time=NOON.replace(minute=c)) for a, b, c in send]
        assert labels.append(some) == Appended(new=new, known=len(send) - new, refused=[])
    labels.close()
    assert known(settings) == counts
    for path in Path(settings.database).parent.glob(f"{Path(settings.database).name}*"):
        path.unlink()


def test_what_does_not_fit_the_target_is_refused_by_row_and_the_rest_is_taken(
    settings: LogSettings, labels: Labels
) -> None:
    some = [
        Label(prediction_id="a", label=True),
        Label(prediction_id="b", label=1),
        Label(prediction_id="c", label="yes"),
        Label(label=True),
        Label(prediction_id="d", entity="e", label=True),
        Label(entity="e", label=True),
    ]
    result = labels.append(some)
    assert result.new == 1
    assert [one.index for one in result.refused] == [1, 2, 3, 4, 5]
    assert result.refused[0].reason == "label 1: Input should be a valid boolean"
    assert "entity and event_time" in result.refused[2].reason
    for bad in ({"prediction_id": "a\x00", "label": True}, {"label": None}, {"label": float("nan")}, {"entity": 1.5}):
        with pytest.raises(ValidationError):
            Label.model_validate(bad)


@pytest.mark.parametrize(
    ("kind", "classes", "good", "bad"),
    [
        ("integer", (0, 1), [0, 1], [True, 1.0, 2, "1"]),
        ("string", ("no", "yes"), ["no"], ["maybe", 1, True]),
        ("number", None, [1, 2.5], ["2.5", True]),
    ],
)
def test_a_label_has_the_target_s_type(
    sqlite: LogSettings, kind: str, classes: tuple[Scalar, ...] | None, good: list[Scalar], bad: list[Scalar]
) -> None:
    target = Column(name="y", kind=kind, role="target", maximum=100.0 if kind == "number" else None)  # type: ignore[arg-type]
    contract = Contract(title="T", columns=(target,), task="binary", classes=classes)
    labels = Labels(sqlite, contract)
    result = labels.append([Label(prediction_id="a", label=value) for value in [*good, *bad]])
    assert (result.new, [one.index for one in result.refused]) == (
        len(good),
        list(range(len(good), len(good) + len(bad))),
    )
    if kind == "number":
        assert labels.append([Label(prediction_id="a", label=1.0)]).known == 1  # what 1 was taken as
        assert "less than or equal to 100" in labels.append([Label(prediction_id="a", label=101)]).refused[0].reason
    labels.close()


FILES = {
    "l.csv": "prediction_id,label,event_time\na,yes,2026-01-31 12:00\nb,0,\nc,perhaps,\n,no,\ne,,\n",
    "l.tsv": "prediction_id\tlabel\tevent_time\na\ttrue\t2026-01-31T12:00:00Z\nb\tN\t\nc\tperhaps\t\n\tf\t\ne\t\t\n",
    "l.json": json.dumps(
        [
            {"prediction_id": "a", "label": True, "event_time": "2026-01-31T13:00:00+01:00"},
            {"prediction_id": "b", "label": False},
            {"prediction_id": "c", "label": "perhaps"},
            {"label": False},
            {"prediction_id": "e"},
        ]
    ),
}


def test_files_of_every_kind_say_the_same(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = Labels(sqlite, CONTRACT)
    results = []
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        results.append(append_file(labels, CONTRACT, tmp_path / name))
    frame = pd.DataFrame(
        {
            "prediction_id": ["a", "b", "c", None, "e"],
            "label": [1.0, 0.0, 7.0, 0.0, None],
            "event_time": [NOON, None, None, None, None],
        }
    )
    frame.to_parquet(tmp_path / "l.parquet")
    results.append(append_file(labels, CONTRACT, tmp_path / "l.parquet"))
    labels.close()
    assert [(one.new, one.known) for one in results] == [(2, 0), (0, 2), (0, 2), (0, 2)]
    assert [[refused.index for refused in one.refused] for one in results] == [[2, 3, 4]] * 4
    assert results[0].refused[0] == Refused(2, "label 'perhaps': Input should be a valid boolean")
    assert results[0].refused[2] == Refused(4, "there is no label")


def test_a_file_by_entity_and_files_that_cannot_work(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = Labels(sqlite, CONTRACT)
    path = tmp_path / "l.csv"
    path.write_text("entity,event_time,label\n17,2026-01-31,1\n17,yesterday,1\n17,,1\n")
    result = append_file(labels, CONTRACT, path)
    assert (result.new, [one.index for one in result.refused]) == (1, [1, 2])
    assert "yesterday" in result.refused[0].reason
    path.write_text("id,label\n1,1\n")
    with pytest.raises(SklineError, match="needs prediction_id and label"):
        append_file(labels, CONTRACT, path)
    (tmp_path / "l.json").write_text('{"label": true}')
    with pytest.raises(SklineError, match="list of objects"):
        append_file(labels, CONTRACT, tmp_path / "l.json")
    labels.close()


def test_a_store_that_is_away_is_an_error_and_the_next_try_works(sqlite: LogSettings, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    labels = Labels(sqlite, CONTRACT)
    with pytest.raises(StoreUnavailable):
        labels.append([Label(prediction_id="a", label=True)])
    (tmp_path / "logs").unlink()
    assert labels.append([Label(prediction_id="a", label=True)]).new == 1
    for path in (tmp_path / "logs").iterdir():
        path.unlink()
    assert labels.append([Label(prediction_id="a", label=True)]).new == 1  # into a new file
    labels.close()

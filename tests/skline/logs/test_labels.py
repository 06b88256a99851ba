"""Tests of the label log: labels are only added, once, and validated; the last one that arrived is valid."""

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

from skline.cli import parser
from skline.commands._tables import given_options
from skline.contract.spec import Column, Contract, Scalar
from skline.errors import SklineError
from skline.logs.label_import import append_file
from skline.logs.labels import AppendResult, Label, LabelLog, RejectedLabel
from skline.logs.read import read_labelled, read_labels, values
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores.base import StoreUnavailable
from skline.logs.writer import PredictionLog
from tests.skline.logs.conftest import CONTRACT, prediction

NOON = dt.datetime(2026, 1, 31, 12)


@pytest.fixture
def labels(settings: LogSettings) -> Iterator[LabelLog]:
    labels = LabelLog(settings, CONTRACT)
    yield labels
    labels.close()


def valid_labels(settings: LogSettings) -> dict[str, Scalar | None]:
    """Return the valid label of each prediction, by its id."""
    table = read_labelled(settings)
    return dict(zip(table["prediction_id"].to_pylist(), values(table["label"]), strict=True))


def test_label_sent_again_is_a_duplicate_and_a_later_one_corrects_it(settings: LogSettings, labels: LabelLog) -> None:
    log = PredictionLog(settings)
    log.put_many([prediction(prediction_id=name) for name in "abc"])
    log.close()
    first = [Label(prediction_id="a", label=True), Label(prediction_id="b", label=False)]
    assert labels.append([*first, first[0]]) == AppendResult(new=2, duplicates=1, rejected=[])
    assert valid_labels(settings) == {"a": True, "b": False, "c": None}
    assert labels.append([Label(prediction_id="a", label=False)]).new == 1
    assert labels.append(first) == AppendResult(new=0, duplicates=2, rejected=[])
    assert valid_labels(settings) == {"a": False, "b": False, "c": None}
    assert values(read_labels(settings)["label"]) == [True, False, False]


def test_a_label_of_a_prediction_that_is_not_logged_is_stored_and_counted(
    settings: LogSettings, labels: LabelLog
) -> None:
    log = PredictionLog(settings)
    log.put(prediction(prediction_id="a"))
    log.close()
    given = [Label(prediction_id=name, label=True) for name in "axy"]
    assert labels.append(given) == AppendResult(new=3, duplicates=0, rejected=[], unknown=2)
    assert labels.append([Label(entity=17, event_time=NOON, label=True)]).unknown == 0


def test_labels_match_predictions_by_entity_and_event_time(settings: LogSettings, labels: LabelLog) -> None:
    log = PredictionLog(settings)
    log.put(prediction(prediction_id="a", entity=17, event_time=to_us(NOON)))
    log.put(prediction(prediction_id="b", entity=17, event_time=to_us(NOON) + 1))
    log.put(prediction(prediction_id="c", entity="18", event_time=to_us(NOON)))
    log.close()
    other_zone = NOON.replace(hour=13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert labels.append([Label(entity="17", event_time=other_zone, label=True)]).new == 1
    assert valid_labels(settings) == {"a": True, "b": None, "c": None}
    labels.append([Label(prediction_id="a", label=False)])
    assert valid_labels(settings)["a"] is False
    assert "17" not in [row["entity"] for row in read_labels(settings).to_pylist()]


@limits(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 1))), max_size=6))
def test_last_new_label_is_valid_in_any_sequence_of_requests(
    sqlite: LogSettings, requests: list[list[tuple[str, bool, int]]]
) -> None:
    settings = sqlite.model_copy(update={"database": f"{sqlite.database}.{id(requests)}"})
    Path(settings.database).unlink(missing_ok=True)
    log = PredictionLog(settings)
    log.put_many([prediction(prediction_id=name) for name in "abc"])
    log.close()
    labels = LabelLog(settings, CONTRACT)
    expected: dict[str, bool | None] = dict.fromkeys("abc")
    seen: set[tuple[str, bool, int]] = set()
    for request in requests:
        new = 0
        for item in request:
            if item not in seen:
                seen.add(item)
                expected[item[0]] = item[1]
                new += 1
        items = [Label(prediction_id=a, label=b, event_time=NOON.replace(minute=c)) for a, b, c in request]
        assert labels.append(items) == AppendResult(new=new, duplicates=len(request) - new, rejected=[])
    labels.close()
    assert valid_labels(settings) == expected
    for path in Path(settings.database).parent.glob(f"{Path(settings.database).name}*"):
        path.unlink()


def test_invalid_labels_are_rejected_and_the_others_are_stored(settings: LogSettings, labels: LabelLog) -> None:
    items = [
        Label(prediction_id="a", label=True),
        Label(prediction_id="b", label=2),
        Label(prediction_id="c", label="perhaps"),
        Label(label=True),
        Label(prediction_id="d", entity="e", label=True),
        Label(entity="e", label=True),
    ]
    result = labels.append(items)
    assert result.new == 1
    assert [label.index for label in result.rejected] == [1, 2, 3, 4, 5]
    assert result.rejected[0].reason == "label 2: Input should be true or false (as text also yes/no, y/n, t/f, 1/0)"
    assert "entity and event_time" in result.rejected[2].reason
    for invalid in (
        {"prediction_id": "a\x00", "label": True},
        {"label": None},
        {"label": float("nan")},
        {"entity": 1.5},
    ):
        with pytest.raises(ValidationError):
            Label.model_validate(invalid)


@pytest.mark.parametrize(
    ("kind", "classes", "valid", "invalid"),
    [
        ("integer", (0, 1), [0, 1], [True, 1.5, 2, "one"]),
        ("string", ("no", "yes"), ["no"], ["maybe", 1, True]),
        ("number", None, [1, 2.5], ["2,5", True]),
    ],
)
def test_label_must_have_the_type_of_the_target(
    sqlite: LogSettings, kind: str, classes: tuple[Scalar, ...] | None, valid: list[Scalar], invalid: list[Scalar]
) -> None:
    target = Column(name="y", kind=kind, role="target", maximum=100.0 if kind == "number" else None)  # type: ignore[arg-type]
    contract = Contract(title="T", columns=(target,), task="binary", classes=classes)
    labels = LabelLog(sqlite, contract)
    result = labels.append([Label(prediction_id="a", label=value) for value in [*valid, *invalid]])
    assert (result.new, [label.index for label in result.rejected]) == (
        len(valid),
        list(range(len(valid), len(valid) + len(invalid))),
    )
    if kind == "number":
        assert labels.append([Label(prediction_id="a", label=1.0)]).duplicates == 1  # 1 was stored as 1.0
        assert "less than or equal to 100" in labels.append([Label(prediction_id="a", label=101)]).rejected[0].reason
    labels.close()


ROWS: list[dict[str, object]] = [
    {"prediction_id": "a", "label": True, "event_time": "2026-01-31T13:00:00+01:00"},
    {"prediction_id": "b", "label": False},
    {"prediction_id": "c", "label": "perhaps"},
    {"label": False},
    {"prediction_id": "e"},
]
FILES = {
    "l.csv": "prediction_id,label,event_time\na,yes,2026-01-31 12:00\nb,0,\nc,perhaps,\n,no,\ne,,\n",
    "l.tsv": "prediction_id\tlabel\tevent_time\na\ttrue\t2026-01-31T12:00:00Z\nb\tN\t\nc\tperhaps\t\n\tf\t\ne\t\t\n",
    "l.json": json.dumps(ROWS),
    "l.jsonl": "\ufeff" + "\r\n".join(map(json.dumps, ROWS)) + "\n\n",
}


def test_files_of_every_format_give_the_same_labels(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = LabelLog(sqlite, CONTRACT)
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
    assert [(result.new, result.duplicates) for result in results] == [(2, 0), *[(0, 2)] * 4]
    assert [[label.index for label in result.rejected] for result in results] == [[2, 3, 4]] * 5
    assert results[0].rejected[0] == RejectedLabel(
        2, "label 'perhaps': Input should be true or false (as text also yes/no, y/n, t/f, 1/0)"
    )
    assert results[0].rejected[2] == RejectedLabel(4, "the label is missing")


def test_file_with_entities_is_imported_and_one_without_keys_is_rejected(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = LabelLog(sqlite, CONTRACT)
    path = tmp_path / "l.csv"
    path.write_text("entity,event_time,label\n17,2026-01-31,1\n17,yesterday,1\n17,,1\n")
    result = append_file(labels, CONTRACT, path)
    assert (result.new, [label.index for label in result.rejected]) == (1, [1, 2])
    assert "yesterday" in result.rejected[0].reason
    path.write_text("id,label\n1,1\n")
    with pytest.raises(SklineError, match="needs prediction_id and label"):
        append_file(labels, CONTRACT, path)
    (tmp_path / "l.json").write_text('{"label": true}')
    with pytest.raises(SklineError, match="list of objects"):
        append_file(labels, CONTRACT, tmp_path / "l.json")
    labels.close()


def test_a_delimiter_that_cannot_be_detected_is_given(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = LabelLog(sqlite, CONTRACT)
    (tmp_path / "l.txt").write_text("prediction_id!label\na!yes\n")
    given = given_options(parser().parse_args(["label", "l.txt", "--delimiter", "!"]))
    assert append_file(labels, CONTRACT, tmp_path / "l.txt", given).new == 1
    with pytest.raises(SklineError, match="name it with --delimiter"):
        append_file(labels, CONTRACT, tmp_path / "l.txt")
    labels.close()


def test_an_invalid_line_of_json_lines_is_named(sqlite: LogSettings, tmp_path: Path) -> None:
    labels = LabelLog(sqlite, CONTRACT)
    path = tmp_path / "l.jsonl"
    for text, message in [
        ('{"prediction_id": "a", "label": true}\n\n{"prediction_id":\n', "l.jsonl: line 3 is not valid JSON"),
        ('[{"prediction_id": "a", "label": true}]\n', "l.jsonl: line 1 must be an object"),
        ("\n", "l.jsonl has no rows"),
    ]:
        path.write_text(text)
        with pytest.raises(SklineError, match=message):
            append_file(labels, CONTRACT, path)
    labels.close()


def test_unavailable_database_is_an_error_and_the_next_attempt_succeeds(sqlite: LogSettings, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in place of the directory")
    labels = LabelLog(sqlite, CONTRACT)
    with pytest.raises(StoreUnavailable):
        labels.append([Label(prediction_id="a", label=True)])
    (tmp_path / "logs").unlink()
    assert labels.append([Label(prediction_id="a", label=True)]).new == 1
    for path in (tmp_path / "logs").iterdir():
        path.unlink()
    assert labels.append([Label(prediction_id="a", label=True)]).new == 1  # into a new file
    labels.close()

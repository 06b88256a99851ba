"""Predictions for messages: those of `/predict`, whatever types stand beside each other in a batch."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from skline.batch.part import PartScorer
from skline.contract.request_validation import RowParser
from skline.errors import SklineError
from skline.ids import PREDICTION_ID_LENGTH, message_prediction_ids
from skline.settings.source_kafka import KafkaSettings
from skline.sources.kafka_messages import make_decoder
from skline.streaming.message_scorer import MessageScorer, typed_batches
from skline.streaming.metrics import StreamMetrics
from skline.streaming.model import CHECK_SECONDS, CurrentModel
from tests.fixtures import demo
from tests.fixtures.demo import Packaged

DECODE = make_decoder(KafkaSettings())
VALUES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "NA", "UA", "1", "2013-05-01", "true", "1e3", "x" * 300])
    | st.lists(st.integers(), max_size=2)
)  # fmt: skip


@pytest.fixture(scope="module")
def scorer(packaged: Packaged) -> PartScorer:
    return PartScorer(packaged.folder, packaged.digest, [])


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    return dict(json.loads(demo.parts()["test"][demo.contract().input_names].to_json(
        orient="records", lines=True, date_format="iso").splitlines()[0])) | {"flight_date": "2013-05-01"}  # fmt: skip


def test_row_of_the_fixture_is_valid(row: dict[str, Any]) -> None:
    assert set(row) == set(demo.contract().input_names)
    RowParser(demo.contract()).parse_row(json.dumps(row))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_row_is_accepted_if_and_only_if_predict_accepts_it(
    data: st.DataObject, scorer: PartScorer, row: dict[str, Any]
) -> None:
    names = demo.contract().input_names
    changes = data.draw(st.lists(st.dictionaries(st.sampled_from(names), VALUES, max_size=2), min_size=1, max_size=6))
    rows = [row | change for change in changes]
    scored = MessageScorer(scorer, DECODE)([json.dumps(each).encode() for each in rows])
    parser = RowParser(demo.contract())
    for position, each in enumerate(rows):
        try:
            parser.parse_row(json.dumps(each))
        except ValidationError:
            assert scored.content[position] is None
            assert position in scored.reasons
        else:
            assert position not in scored.reasons, scored.reasons[position]
            [alone] = MessageScorer(scorer, DECODE)([json.dumps(each).encode()]).content
            assert scored.content[position] == alone


def test_reasons_are_those_of_predict(scorer: PartScorer, row: dict[str, Any]) -> None:
    lacking = {name: value for name, value in row.items() if name != "distance"}
    make = MessageScorer(scorer, DECODE, ["number"])
    scored = make([json.dumps(each).encode() for each in
                    (row | {"number": 7}, lacking, row | {"distance": -1}, row | {"distance": 10**30})])  # fmt: skip
    first, *others = scored.content
    assert first is not None
    assert first["number"] == 7
    assert first["model_version"] == scorer.version
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert others == [None, None, None]
    assert scored.reasons[1] == "distance: Field required; send null if it is unknown"
    assert scored.reasons[2].startswith("distance: Input should be greater than")
    assert "distance" in scored.reasons[3] or "cannot be read" in scored.reasons[3]
    assert make([]).content == []
    assert make([None, b"x"]).reasons[0] == "it has no value"


def test_fields_of_predictions_cannot_be_kept(scorer: PartScorer) -> None:
    with pytest.raises(SklineError, match="the field 'offset' cannot be kept"):
        MessageScorer(scorer, DECODE, ["offset"])


def test_values_of_several_types_are_never_in_one_column() -> None:
    rows = {0: {"a": 1}, 1: {"a": 1.5}, 2: {"a": True}, 3: {"a": "x"}, 4: {"a": None}, 5: {"a": 10**40}}
    reasons: dict[int, str] = {}
    batches = typed_batches(rows, ["a"], reasons)
    values = {position: value for positions, batch in batches
              for position, value in zip(positions, batch.column("a").to_pylist(), strict=True)}  # fmt: skip
    assert values == {position: row["a"] for position, row in rows.items() if position != 5}
    assert type(values[2]) is bool
    assert list(reasons) == [5]


PLACES = st.tuples(st.integers(0, 99), st.integers(0, 2**62), st.integers(-1, 2**41))


@given(st.lists(PLACES, min_size=1, max_size=9, unique=True))
def test_ids_depend_on_topic_partition_offset_and_time_alone(places: list[tuple[int, int, int]]) -> None:
    made = message_prediction_ids("t", *zip(*places, strict=True))
    assert made == [message_prediction_ids("t", [place[0]], [place[1]], [place[2]])[0] for place in places]
    assert len(set(made) | set(message_prediction_ids("u", *zip(*places, strict=True)))) == 2 * len(places)
    for own, (_, _, timestamp) in zip(made, places, strict=True):
        assert len(own) == PREDICTION_ID_LENGTH
        assert own.startswith(f"{max(timestamp, 0):012x}8")
        assert own[16] in "89ab"


def test_ids_of_a_partition_differ() -> None:
    made = message_prediction_ids("t", [0] * 50_000 + [1] * 50_000, [*range(50_000)] * 2, [7] * 100_000)
    assert len(set(made)) == 100_000


def test_another_release_is_loaded_and_a_broken_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    now, selected, loads = [0.0], [Packaged(Path(), "a")], []

    def load(model: Packaged) -> tuple[str, Any]:
        loads.append(model.digest)
        if model.digest == "broken":
            raise SklineError("the artifact is not complete")
        return model.digest, lambda _: model.digest

    metrics = StreamMetrics()
    current = CurrentModel(lambda: selected[0], load, metrics, clock=lambda: now[0])
    for digest in ("b", "broken", "broken", "a"):
        selected[0] = Packaged(Path(), digest)
        assert current()(()) != digest or current()(()) == "a"
        now[0] += CHECK_SECONDS
        current()
    assert loads == ["a", "b", "broken", "a"]
    assert current.version == "a"
    assert metrics.registry.get_sample_value("skline_stream_model_info", {"version": "a"}) == 1
    assert metrics.registry.get_sample_value("skline_stream_model_info", {"version": "b"}) is None
    assert "b goes on scoring: the artifact is not complete" in caplog.text

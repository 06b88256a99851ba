"""Rejected requests are counted by rule and column: in /metrics and, by minute, in the prediction log."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.logs.rejections import ALL, OTHER, RejectedCount
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.serving.observability.rejections import MAX_PAIRS, BrokenRule, RejectedRequests, broken_rule
from skline.serving.security.headers import CSP_NONE
from tests.fixtures import demo
from tests.fixtures.clients import wait_until
from tests.fixtures.service import service_with_log

COLUMNS = frozenset(("carrier", "distance"))


@pytest.mark.parametrize(
    ("kind", "location", "broken"),
    [
        ("missing", ("body", "carrier"), ("missing", "carrier")),
        ("missing_value", ("body", 3, "distance"), ("missing", "distance")),
        ("greater_than_equal", ("body", "distance"), ("out_of_range", "distance")),
        ("integer_format", ("body", "distance"), ("type", "distance")),
        ("literal_error", ("body", "carrier"), ("not_in_set", "carrier")),
        ("string_too_long", ("body", "carrier"), ("length", "carrier")),
        ("extra_forbidden", ("body", "x" * 1_000), ("unknown_field", OTHER)),
        ("json_invalid", ("body",), ("malformed", OTHER)),
        ("list_type", ("body",), ("malformed", OTHER)),
        ("bool_parsing", ("query", "explain"), ("parameter", OTHER)),
        ("not_scorable", ("body",), ("not_scorable", OTHER)),
        ("value_error", ("body", "carrier"), (OTHER, "carrier")),
        ("missing", (), ("missing", OTHER)),
    ],
)
def test_errors_become_few_rules_and_the_columns_of_the_contract(
    kind: str, location: tuple[Any, ...], broken: tuple[str, str]
) -> None:
    assert broken_rule({"type": kind, "loc": location}, COLUMNS) == broken


def test_number_of_pairs_of_a_minute_is_bounded() -> None:
    names = [f"c{index}" for index in range(3 * MAX_PAIRS)]
    given: list[RejectedCount] = []
    counts = RejectedRequests(names, lambda: "demo", given.extend)

    async def count() -> None:
        for name in names:
            counts.count([{"type": "missing", "loc": ("body", name)}], 2, "/predict")
        counts.flush()

    asyncio.run(count())
    minutes = len({each.time for each in given})
    assert len(given) <= minutes * (MAX_PAIRS + 2)
    assert sum(each.requests for each in given if each.rule == ALL) == len(names)
    assert sum(each.row_count for each in given if each.rule != ALL) == 2 * len(names)
    counts.flush()
    assert len({each.count_id for each in given}) == len(given)


def invalid(client: httpx.Client, row: dict[str, Any]) -> None:
    """Send 6 invalid requests with 27 rows, one that asks for no prediction, and valid ones."""
    late = row | {"distance": "far"}
    del late["carrier"]
    responses = [
        client.post("/predict", json=late),
        client.post("/predict", content=b"{broken"),
        client.post("/predict?explain=true", json=row | {"secret": "x"}),
        client.post("/predict/batch", json=[row] * 3 + [row | {"distance": -1}] * 2),
        client.post("/predict/batch", json=[row] * 15 + [late]),
        client.post("/invocations", json={"dataframe_records": [row, row | {"extra": 1}, row]}),
        client.post("/labels", json=[{"wrong": 1}]),
    ]
    assert [each.status_code for each in responses] == [422] * 7, [each.text for each in responses]
    assert json.loads(responses[0].text)["detail"]
    assert responses[0].headers["content-security-policy"] == CSP_NONE


def test_rejected_requests_are_in_the_metrics_and_in_the_log(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with service_with_log(packaged, tmp_path) as client:
        client.post("/predict", json=example)
        assert "skline_invalid_requests_total{" not in client.get("/metrics").text
        invalid(client, example)
        lines = [line for line in client.get("/metrics").text.splitlines() if "invalid_requests_total{" in line]
    expected = {
        ("missing", "carrier"): (2, 17),
        ("type", "distance"): (2, 17),
        ("malformed", OTHER): (1, 1),
        ("unknown_field", OTHER): (2, 4),
        ("out_of_range", "distance"): (1, 5),
    }
    assert sorted(lines) == sorted(
        f'skline_invalid_requests_total{{column="{column}",rule="{rule}"}} {requests}.0'
        for (rule, column), (requests, _) in expected.items()
    )
    settings = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    with closing(open_store(settings)) as store:
        rows = [RejectedCount(*row) for chunk in store.read("skline_rejected_requests") for row in chunk]  # type: ignore[arg-type]
    assert all(each.time % 60_000_000 == 0 and each.model_version.startswith("demo@") for each in rows)
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in rows:
        requests, count = sums.get((each.rule, each.column_name), (0, 0))
        sums[each.rule, each.column_name] = requests + each.requests, count + each.row_count
    assert sums == expected | {BrokenRule(ALL, ALL): (6, 27)}


def test_counts_are_passed_to_the_log_while_the_service_runs(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skline.serving.observability.rejections.FLUSH_SECONDS", 0.05)
    settings = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    with service_with_log(packaged, tmp_path) as client:
        for expected in (2, 4):
            client.post("/predict", json=example | {"distance": "far"})
            wait_until(lambda expected=expected: stored_counts(settings) == expected)  # type: ignore[misc]


def stored_counts(settings: LogSettings) -> int:
    with closing(open_store(settings)) as store:
        return store.summarize("skline_rejected_requests").rows

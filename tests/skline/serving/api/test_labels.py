"""Labels that callers send to `/labels`."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.serving.settings import LimitSettings
from tests.fixtures import demo
from tests.fixtures.service import metric, service_with_log


@pytest.mark.parametrize("content", [[{"label": True}], [{"prediction_id": "x"}], {"label": 1}, [1], "x"])
def test_invalid_labels_are_rejected_with_a_reason(client: httpx.Client, content: Any) -> None:
    response = client.post("/labels", json=content)
    if response.status_code == 200:
        [rejected] = response.json()["rejected"]
        assert "prediction_id" in rejected["reason"]
    else:
        assert response.status_code == 422


def test_label_may_name_a_prediction_by_entity_and_time(client: httpx.Client) -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat()
    labels = [{"entity": "N12345", "event_time": moment, "label": True}]
    assert client.post("/labels", json=labels).json()["new"] == 1


def test_lists_of_labels_that_find_no_slot_are_rejected_and_counted(packaged: demo.Packaged, tmp_path: Path) -> None:
    labels = [{"prediction_id": f"{number:032x}", "label": True} for number in range(5_000)]
    limits = LimitSettings(waiting=0, rate=None)
    with service_with_log(packaged, tmp_path, limits=limits) as client, ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: client.post("/labels", json=labels).status_code, range(8)))
        assert set(statuses) == {200, 503}
        rejected = metric(client, 'skline_rejected_requests_total{reason="overloaded"}')
        assert rejected == statuses.count(503)

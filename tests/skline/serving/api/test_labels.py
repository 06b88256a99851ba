"""Labels that callers send to `/labels`."""

import datetime as dt
from typing import Any

import httpx
import pytest


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

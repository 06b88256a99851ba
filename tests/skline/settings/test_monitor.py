"""Tests of the section `monitor`: durations, and settings that contradict each other."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skline.errors import SklineError
from skline.settings import Settings
from skline.settings.monitor import Monitor, format_duration, parse_duration


@given(st.integers(1, 999_999))
def test_duration_is_read_as_it_is_written(seconds: int) -> None:
    duration = dt.timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["7", "d", "0d", "-1h", "1w", "1.5h"])
def test_duration_without_number_or_unit_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="no duration"):
        Monitor.model_validate({"window": text})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"persist": 4}, "persist is 4 of 3"),
        ({"window": "36501d"}, "less than or equal to 36500 days"),
        ({"kpis": [{"name": "a", "expression": "1"}] * 2}, "not unique"),
        ({"costs": [[0, 1]]}, "as many columns as rows"),
        ({"kpis": [{"name": "A", "expression": "1"}]}, "pattern"),
        ({"webhook": {"variable": "A", "file": "b"}}, "keep one"),
    ],
)
def test_contradiction_is_rejected(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Monitor.model_validate(values)


@pytest.mark.parametrize("key", ["url", "variable"])
def test_address_of_a_webhook_is_rejected_and_not_shown(tmp_path: Path, key: str) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(
        f"source: {{uri: table.csv}}\nmonitor: {{webhook: {{{key}: https://hooks.example.org/SECRET}}}}\n"
    )
    with pytest.raises(SklineError, match=f"monitor.webhook.{key}") as error:
        Settings.load(params)
    assert "SECRET" not in str(error.value)

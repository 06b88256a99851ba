"""Options that are a moment: every form that can be computed with, and nothing in the future as --asof."""

import argparse
import datetime as dt
from pathlib import Path

import pytest

from skline import cli, paths
from skline.commands._moments import parse_moment
from skline.errors import SklineError


def test_moment_without_a_zone_is_utc() -> None:
    expected = dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)
    for text in ("2026-11-01T10:00", "2026-11-01T10:00Z", "2026-11-01T12:00+02:00"):
        assert parse_moment(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "no date"), ("0001-01-01T00:00+14:00", "no date"), ("9999-12-31T23:59-12:00", "no date"),
        ("0001-01-01", "before 1970"), ("1970-01-01T00:00+01:00", "before 1970"),
    ],
)  # fmt: skip
def test_moment_that_cannot_be_computed_with_is_rejected(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse_moment(text)


@pytest.mark.parametrize(
    ("command", "option"),
    [("promote", "--every"), ("promote", "--window"), ("replay", "--every"), ("monitor", "--watch")],
)
def test_durations_of_all_commands_are_read_alike(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed = cli.parser().parse_args([command, option, "36h"])
    assert getattr(parsed, option.removeprefix("--")) == dt.timedelta(hours=36)
    for text in ("36", "0d", "1w", "9999999d"):
        with pytest.raises(SystemExit):
            cli.parser().parse_args([command, option, text])
        assert f"argument {option}: '{text}' is no duration; write a positive number and s, m, h or d" in (
            capsys.readouterr().err
        )


def test_monitoring_as_of_the_future_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = cli.parser().parse_args(["monitor", "--asof", "2099-01-01"])
    with pytest.raises(SklineError, match="--asof 2099-01-01 00:00 is in the future"):
        arguments.run(arguments)
    assert not paths.MONITOR.exists()

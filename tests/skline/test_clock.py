"""One place says what time it is, so that a replay's simulated clock is honoured everywhere."""

import ast
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline import clock
from skline.errors import SklineError
from skline.ids import new_prediction_id, new_prediction_ids
from skline.logs.lookup import TIME_DIGITS
from tests.fixtures.demo import ROOT

START = dt.datetime(2013, 7, 1, tzinfo=dt.UTC)
#: Files that read the machine's clock, and why.
MACHINE_CLOCK = {
    "clock.py": "gives it to all others",
    "api_keys.py": "an API key is valid for real time",
    "commands/key.py": "the same",
    "serving/security/api_keys.py": "the same",
    "serving/security/rate_limit.py": "a rate limit is one of real time",
    "sources/http.py": "a server names the moment from which it answers again, in Retry-After",
    "logs/stats.py": "when the log was last written is a figure of operation",
}
READS_CLOCK = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"),
    ("time", "time_ns"), ("Timestamp", "now"), ("Timestamp", "utcnow"), ("Timestamp", "today"),
}  # fmt: skip


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[clock.SimulatedClock]:
    made = clock.SimulatedClock.create(tmp_path / "clock", START)
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    clock.simulated_clock.cache_clear()
    yield made
    clock.simulated_clock.cache_clear()


def test_without_a_simulated_clock_it_is_the_machines() -> None:
    before = time.time_ns() // 1000
    assert before <= clock.now_us() <= time.time_ns() // 1000
    assert abs(clock.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_the_simulated_clock_shows_what_another_process_sets(simulated: clock.SimulatedClock) -> None:
    code = "from skline import clock; input(); print(clock.now().isoformat())"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        simulated.advance(START + dt.timedelta(microseconds=1))
        output, _ = reader.communicate("\n", timeout=60)
    assert output == "2013-07-01T00:00:00.000001+00:00\n"
    assert clock.now() == START + dt.timedelta(microseconds=1)


@given(st.lists(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1)), min_size=1))
def test_the_simulated_clock_never_goes_back(moments: list[dt.datetime]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock"
        made = clock.SimulatedClock.create(path, clock.EPOCH)
        for index, moment in enumerate(moments):
            made.advance(moment.replace(tzinfo=dt.UTC))
            assert made.now() == max(moments[: index + 1]).replace(tzinfo=dt.UTC)
        assert clock.SimulatedClock.create(path, clock.EPOCH).now() == made.now()


def test_ids_carry_the_simulated_time(simulated: clock.SimulatedClock) -> None:
    milliseconds = simulated.now_us() // 1000
    for each in (new_prediction_id(), *new_prediction_ids(2)):
        assert int(each[:TIME_DIGITS], 16) == milliseconds


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), (b"", "cannot be read"), (b"1", "1 bytes")])
def test_what_is_no_clock_is_rejected(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "clock").write_bytes(content)
    with pytest.raises(SklineError, match=message):
        clock.SimulatedClock(tmp_path / "clock")


def test_nothing_else_reads_the_machines_clock() -> None:
    folder = ROOT / "src/skline"
    reading = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (_name(node.value), node.attr) in READS_CLOCK:
                reading.add(path.relative_to(folder).as_posix())
    assert reading == set(MACHINE_CLOCK)


def _name(node: ast.expr) -> str | None:
    """Return the last name of an expression: datetime of `dt.datetime`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None

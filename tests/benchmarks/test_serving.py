"""Verification and measurement of servers, and the comparison with the targets in the report."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.load import duels, report, rounds, summary
from benchmarks.load.measure import MANY, ONE, Reading, difference, measure_server, verify_responses
from benchmarks.load.processes import ServerFailed, free_ports, post, running, wait_until
from benchmarks.load.workload import BATCH_ROWS, Workload
from benchmarks.servers import all_servers
from benchmarks.servers.base import Server, Site
from benchmarks.servers.fastapis import Constant, Tutorial
from benchmarks.servers.mlservers import tensor
from benchmarks.servers.ours import Ours
from skline.artifact import Artifact

HERE = Path(sys.executable)


def test_workloads_are_a_planned_and_an_unplanned_pipeline(workloads: Mapping[str, Workload]) -> None:
    for name, path in (("demo", "plan"), ("custom", "pipeline")):
        workload = workloads[name]
        packaged = Artifact.open(workload.artifact, workload.digest)
        assert packaged.manifest.scoring.path == path
        assert workload.probabilities.shape == (len(workload.rows), 2) == (BATCH_ROWS, 2)
        assert json.loads((workload.folder / "rows.json").read_text()) == workload.rows
    assert np.array_equal(workloads["demo"].probabilities, workloads["custom"].probabilities)


@pytest.mark.parametrize(
    ("server", "name"),
    [(Ours(), "demo"), (Ours(), "custom"), (Tutorial(threads=1), "custom"), (Constant(), "demo")],
    ids=lambda value: value.name if isinstance(value, Server) else value,
)
def test_accepts_correct_responses_and_rejects_a_difference_of_one_bit(
    workloads: Mapping[str, Workload], tmp_path: Path, server: Server, name: str
) -> None:
    workload = workloads[name]
    site = Site(HERE, workload, tmp_path, *free_ports(3))
    server.prepare(site)
    with running(server.command(site), server.environ(site), tmp_path, site.log) as process:

        def is_verified() -> bool:
            try:
                verify_responses(server, workload, site.port)
            except ServerFailed:  # it is still loading
                return False
            return True

        wait_until(is_verified, process, 0.0, float("inf"), site.log)
        invalid = {"flight_date": "tomorrow"}
        assert post(site.port, server.path, json.dumps(invalid).encode(), server.headers)[0] == 422
        other = workload.probabilities.copy()
        other[0, 0] = np.nextafter(other[0, 0], 0)
        with pytest.raises(ServerFailed, match="responses are wrong; the first: probabilities differ by up to"):
            verify_responses(server, dataclasses.replace(workload, probabilities=other), site.port)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_measures_every_figure(workloads: Mapping[str, Workload], scratch: Path) -> None:
    taken = measure_server(Constant(), workloads["demo"], HERE, scratch, 2, 1, (ONE, MANY))
    figures = {f"{measure} {name}" for measure in (ONE, MANY) for name in ("rate", "p50_ms", "p99_ms", "failed")}
    assert {reading.figure for reading in taken} == {"start_seconds", "memory_mb"} | figures
    assert all(reading.value > 0 for reading in taken if not reading.figure.endswith("failed"))
    assert {(reading.server, reading.workload, reading.round) for reading in taken} == {("constant", "demo", 2)}


def test_reports_probabilities_of_another_shape() -> None:
    assert "(1, 2)" in difference(np.zeros((1, 2)), np.zeros((2, 2)))


def test_sends_nullable_columns_as_floats(workloads: Mapping[str, Workload]) -> None:
    columns = {column.name: column for column in workloads["demo"].contract.inputs}
    row = workloads["demo"].rows[0]
    types = {name: tensor(column, [row, row])["datatype"] for name, column in columns.items()}
    assert (types["distance"], types["sched_dep_time"], types["flight_date"]) == ("FP64", "INT64", "BYTES")


def readings(server: str, workload: str, **figures: Any) -> list[Reading]:
    return [
        Reading(server, workload, number, name.replace("__", " "), value)
        for name, values in figures.items()
        for number, value in enumerate(values)
    ]


def side_by_side(ours: float = 1.0, name: str = "ours") -> list[Reading]:
    """Turns in which our server reaches `ours` times every target; the machine is ten times as fast in one of them."""
    speeds = (1, 10, 1)

    def at(value: float) -> list[float]:
        return [value * speed for speed in speeds]

    taken = readings("mlflow", "demo", one__rate=at(100), many__rate=at(90), batch__rate=at(50))
    taken += readings("litserve-batching", "demo", one__rate=at(40), many__rate=at(1_000), batch__rate=at(40))
    taken += readings("litserve-batching", "custom", many__rate=at(900))
    taken += readings("constant", "demo", one__rate=at(3_125), many__rate=at(10_000), many__p99_ms=at(20))
    # In the first turn only our server is slow.
    taken += readings(name, "demo", one__rate=[1, *at(2_500 * ours)[1:]], many__rate=at(10_000 * ours))
    taken += readings(name, "demo", many__p99_ms=at(60 / ours), batch__rate=at(100 * ours))
    return [*taken, *readings(name, "custom", many__rate=at(2_700 * ours))]


def start_times(seconds: float) -> summary.Medians:
    return summary.medians(readings("ours", "demo", start_seconds=[9, seconds, seconds]))


@pytest.mark.parametrize(("ours", "met"), [(1.0, True), (0.99, False)])
def test_compares_with_best_alternative_and_constant_app_turn_by_turn(ours: float, met: bool) -> None:
    results = summary.compare_with_targets(start_times(1.5 / ours), side_by_side(ours), all_servers())
    assert [result.met for result in results] == [met] * len(summary.TARGETS)
    assert [result.rival for result in results] == [
        "mlflow", "constant", "litserve-batching", "constant", "constant", "mlflow", None, "litserve-batching",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["ours", "mlflow litserve-batching", "constant"])
def test_target_is_neither_met_nor_missed_if_not_measured(missing: str) -> None:
    kept = [reading for reading in side_by_side() if reading.server not in missing.split()]
    results = summary.compare_with_targets({} if missing == "ours" else start_times(1.5), kept, all_servers())
    for result in results:
        is_unknown = {"ours": True, "constant": result.target.rival == summary.APP}.get(
            missing, result.target.rival == summary.BEST
        )
        assert (result.met is None) == is_unknown, result


def test_rates_are_targets_with_production_features_too() -> None:
    results = summary.compare_with_targets({}, side_by_side(1.0, "ours-production"), all_servers(), "ours-production")
    assert [result.met for result in results] == [True] * 5
    assert {result.target.figure for result in results} == {"one rate", "many rate", "batch rate"}


def test_contenders_are_the_fastest_alternatives_and_the_constant_app() -> None:
    rates = {"ours": 9, "mlflow": 3, "vetiver": 5, "bentoml": 4, "constant": 20, "asgi": 30}
    figures = {(name, "demo", "many rate"): float(rate) for name, rate in rates.items()}
    names = [server.name for server in duels.contenders(all_servers(), figures, "demo", MANY)]
    assert sorted(names) == ["bentoml", "constant", "ours", "vetiver"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_duel_drives_every_server_in_rotating_order(
    workloads: Mapping[str, Workload], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duels, "TURNS", 2)
    servers: list[Server] = [Ours(), Constant()]
    pythons = {server.name: HERE for server in servers}
    figures = {(server.name, "demo", "one rate"): 1.0 for server in servers}
    taken, absent = duels.duels(servers, figures, workloads, pythons, scratch, 1, lambda _: None)
    rates = [(reading.server, reading.round) for reading in taken if reading.figure == "one rate"]
    assert rates == [("ours", 0), ("constant", 0), ("constant", 1), ("ours", 1)]
    assert not absent


def test_reports_server_that_fails_and_skips_it_afterwards(
    workloads: Mapping[str, Workload], scratch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured: list[tuple[str, str, int]] = []

    def fake_measurement(
        server: Server, workload: Workload, _: Path, __: Path, number: int, *___: object
    ) -> list[Reading]:
        measured.append((server.name, workload.name, number))
        if (server.name, workload.name) == ("tutorial", "custom"):
            raise ServerFailed("the server exited with status 1 | no module")
        return readings(
            server.name, workload.name, many__rate=[7], many__p99_ms=[1], many__failed=[0], start_seconds=[1]
        )

    monkeypatch.setattr(rounds, "measure_server", fake_measurement)
    servers: list[Server] = [Ours(), Tutorial(threads=None), Constant()]
    pythons = {server.name: HERE for server in servers}
    taken, absent = rounds.rounds(servers, workloads, pythons, scratch, 3, 1, lambda _: None)
    assert [name for name, workload, _ in measured if workload == "demo"] == [
        "ours", "tutorial", "constant", "tutorial", "constant", "ours", "constant", "ours", "tutorial",
    ]  # fmt: skip
    assert measured.count(("tutorial", "custom", 0)) == 1
    assert ("tutorial", "custom", 1) not in measured
    assert ("constant", "custom", 0) not in measured
    metadata = {
        "command": "c",
        "date": "d",
        "machine": "m",
        "python": "p",
        "client": "w",
        "model": "a",
        "commit": "f00",
        "rounds": 3,
        "seconds": 1,
    }
    report.write(report.Run(servers, taken, [], {"ours": {"fastapi": "9.9"}}, absent, metadata), tmp_path)
    page = (tmp_path / "serving.md").read_text()
    assert "- tutorial FastAPI app (custom): in round 1, the server exited with status 1 \\| no module" in page
    assert "fastapi 9.9" in page
    assert json.loads((tmp_path / "serving.json").read_text())["rounds"]["ours"]["custom"]["many rate"] == [7] * 3

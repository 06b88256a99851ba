"""Servers are asked for the pipeline's numbers before they are measured, and what was found is told as it is."""

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
from benchmarks.load.measure import MANY, ONE, Reading, difference, prove, visit
from benchmarks.load.processes import ServerFailed, free_ports, post, running, until
from benchmarks.load.workload import BATCH_ROWS, Workload
from benchmarks.servers import every_server
from benchmarks.servers.base import Server, Site
from benchmarks.servers.fastapis import Constant, Tutorial
from benchmarks.servers.mlservers import tensor
from benchmarks.servers.ours import Ours
from skline.artifact import Artifact

HERE = Path(sys.executable)


def test_workloads_are_the_pipeline_and_one_that_cannot_be_planned(workloads: Mapping[str, Workload]) -> None:
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
def test_right_answers_pass_and_one_bit_does_not(
    workloads: Mapping[str, Workload], tmp_path: Path, server: Server, name: str
) -> None:
    workload = workloads[name]
    site = Site(HERE, workload, tmp_path, *free_ports(3))
    server.prepare(site)
    with running(server.command(site), server.environ(site), tmp_path, site.log) as process:

        def answers() -> bool:
            prove(server, workload, site.port)
            return True

        def started() -> bool:
            try:
                return answers()
            except ServerFailed:  # it is still loading
                return False

        until(started, process, 0.0, float("inf"), site.log)
        nonsense = {"flight_date": "tomorrow"}
        assert post(site.port, server.path, json.dumps(nonsense).encode(), server.headers)[0] == 422
        other = workload.probabilities.copy()
        other[0, 0] = np.nextafter(other[0, 0], 0)
        with pytest.raises(ServerFailed, match="answers were wrong; the first: probabilities differ by up to"):
            prove(server, dataclasses.replace(workload, probabilities=other), site.port)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_visit_takes_every_figure(workloads: Mapping[str, Workload], scratch: Path) -> None:
    found = visit(Constant(), workloads["demo"], HERE, scratch, 2, 1, (ONE, MANY))
    figures = {f"{measure} {what}" for measure in (ONE, MANY) for what in ("rate", "p50_ms", "p99_ms", "failed")}
    assert {reading.what for reading in found} == {"start_seconds", "memory_mb"} | figures
    assert all(reading.value > 0 for reading in found if not reading.what.endswith("failed"))
    assert {(reading.server, reading.workload, reading.round) for reading in found} == {("constant", "demo", 2)}


def test_a_shape_that_is_not_the_pipelines_is_wrong() -> None:
    assert "(1, 2)" in difference(np.zeros((1, 2)), np.zeros((2, 2)))


def test_columns_that_may_miss_values_travel_as_floats(workloads: Mapping[str, Workload]) -> None:
    columns = {column.name: column for column in workloads["demo"].contract.inputs}
    row = workloads["demo"].rows[0]
    types = {name: tensor(column, [row, row])["datatype"] for name, column in columns.items()}
    assert (types["distance"], types["sched_dep_time"], types["flight_date"]) == ("FP64", "INT64", "BYTES")


def readings(server: str, workload: str, **figures: Any) -> list[Reading]:
    return [
        Reading(server, workload, number, what.replace("__", " "), value)
        for what, values in figures.items()
        for number, value in enumerate(values)
    ]


def side_by_side(ours: float = 1.0, name: str = "ours") -> list[Reading]:
    """Turns in which ours reaches `ours` times what is asked for; the machine is ten times as fast in one of them."""
    paces = (1, 10, 1)

    def at(value: float) -> list[float]:
        return [value * pace for pace in paces]

    found = readings("mlflow", "demo", one__rate=at(100), many__rate=at(90), batch__rate=at(50))
    found += readings("litserve-batching", "demo", one__rate=at(40), many__rate=at(1_000), batch__rate=at(40))
    found += readings("litserve-batching", "custom", many__rate=at(900))
    found += readings("constant", "demo", one__rate=at(3_125), many__rate=at(10_000), many__p99_ms=at(20))
    # In the first turn ours alone was held up.
    found += readings(name, "demo", one__rate=[1, *at(2_500 * ours)[1:]], many__rate=at(10_000 * ours))
    found += readings(name, "demo", many__p99_ms=at(60 / ours), batch__rate=at(100 * ours))
    return [*found, *readings(name, "custom", many__rate=at(2_700 * ours))]


def started(seconds: float) -> summary.Medians:
    return summary.medians(readings("ours", "demo", start_seconds=[9, seconds, seconds]))


@pytest.mark.parametrize(("ours", "holds"), [(1.0, True), (0.99, False)])
def test_demands_are_judged_turn_by_turn_against_the_best_and_the_constant_app(ours: float, holds: bool) -> None:
    findings = summary.judge(started(1.5 / ours), side_by_side(ours), every_server())
    assert [finding.holds for finding in findings] == [holds] * len(summary.DEMANDS)
    assert [finding.rival for finding in findings] == [
        "mlflow", "constant", "litserve-batching", "constant", "constant", "mlflow", None, "litserve-batching",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["ours", "mlflow litserve-batching", "constant"])
def test_what_was_not_measured_neither_holds_nor_falls_short(missing: str) -> None:
    kept = [reading for reading in side_by_side() if reading.server not in missing.split()]
    findings = summary.judge({} if missing == "ours" else started(1.5), kept, every_server())
    for finding in findings:
        told = {"ours": True, "constant": finding.demand.rival == summary.APP}.get(
            missing, finding.demand.rival == summary.BEST
        )
        assert (finding.holds is None) == told, finding


def test_with_all_switched_on_the_rates_are_asked_for_too() -> None:
    findings = summary.judge({}, side_by_side(1.0, "ours-production"), every_server(), "ours-production")
    assert [finding.holds for finding in findings] == [True] * 5
    assert {finding.demand.what for finding in findings} == {"one rate", "many rate", "batch rate"}


def test_the_quickest_alternatives_and_the_constant_app_are_driven_beside_ours() -> None:
    rates = {"ours": 9, "mlflow": 3, "vetiver": 5, "bentoml": 4, "constant": 20, "asgi": 30}
    figures = {(name, "demo", "many rate"): float(rate) for name, rate in rates.items()}
    names = [server.name for server in duels.contenders(every_server(), figures, "demo", MANY)]
    assert sorted(names) == ["bentoml", "constant", "ours", "vetiver"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_side_by_side_every_server_has_its_turns(
    workloads: Mapping[str, Workload], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duels, "TURNS", 2)
    servers: list[Server] = [Ours(), Constant()]
    pythons = {server.name: HERE for server in servers}
    figures = {(server.name, "demo", "one rate"): 1.0 for server in servers}
    found, absent = duels.duels(servers, figures, workloads, pythons, scratch, 1, lambda _: None)
    rates = [(reading.server, reading.round) for reading in found if reading.what == "one rate"]
    assert rates == [("ours", 0), ("constant", 0), ("constant", 1), ("ours", 1)]
    assert not absent


def test_a_server_that_fails_is_named_with_its_reason_and_not_asked_again(
    workloads: Mapping[str, Workload], scratch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    visits: list[tuple[str, str, int]] = []

    def visited(server: Server, workload: Workload, _: Path, __: Path, number: int, *___: object) -> list[Reading]:
        visits.append((server.name, workload.name, number))
        if (server.name, workload.name) == ("tutorial", "custom"):
            raise ServerFailed("it ended with status 1 | no module")
        return readings(
            server.name, workload.name, many__rate=[7], many__p99_ms=[1], many__failed=[0], start_seconds=[1]
        )

    monkeypatch.setattr(rounds, "visit", visited)
    servers: list[Server] = [Ours(), Tutorial(threads=None), Constant()]
    pythons = {server.name: HERE for server in servers}
    found, absent = rounds.rounds(servers, workloads, pythons, scratch, 3, 1, lambda _: None)
    assert [name for name, workload, _ in visits if workload == "demo"] == [
        "ours", "tutorial", "constant", "tutorial", "constant", "ours", "constant", "ours", "tutorial",
    ]  # fmt: skip
    assert visits.count(("tutorial", "custom", 0)) == 1
    assert ("tutorial", "custom", 1) not in visits
    assert ("constant", "custom", 0) not in visits
    facts = {
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
    report.write(report.Run(servers, found, [], {"ours": {"fastapi": "9.9"}}, absent, facts), tmp_path)
    page = (tmp_path / "serving.md").read_text()
    assert "- tutorial FastAPI app (custom): in round 1, it ended with status 1 \\| no module" in page
    assert "fastapi 9.9" in page
    assert json.loads((tmp_path / "serving.json").read_text())["rounds"]["ours"]["custom"]["many rate"] == [7] * 3

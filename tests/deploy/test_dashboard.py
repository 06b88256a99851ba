"""The Grafana dashboard is that of the code, and its queries are valid and name what is exported."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts import dashboard
from tests.deploy.exported import exported_labels, unknown_names

#: What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$monitor_job": "skline", "$stream_job": "skline-stream", "$job": "skline"}
CONTENT: dict[str, Any] = dashboard.dashboard()


def queries() -> Iterator[str]:
    """Yield the queries of panels and annotations, with values in place of the variables."""
    panels = [target["expr"] for panel in CONTENT["panels"] for target in panel.get("targets", ())]
    for query in [*panels, *(each["expr"] for each in CONTENT["annotations"]["list"])]:
        for name, value in VARIABLES.items():
            query = query.replace(name, value)  # noqa: PLW2901
        yield query


def test_file_is_current() -> None:
    assert dashboard.PATH.read_text(encoding="utf-8") == dashboard.text(), "run `uv run just docs`"


def test_rows_stand_in_order_and_panels_do_not_overlap() -> None:
    rows = [panel["title"] for panel in CONTENT["panels"] if panel["type"] == "row"]
    assert rows == ["Operations", "Data", "Model", "Business", "Streams"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in CONTENT["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == dashboard.COLUMNS - 1
    assert len({panel["id"] for panel in CONTENT["panels"]}) == len(CONTENT["panels"])


def test_queries_name_only_metrics_and_labels_that_are_exported(client: httpx.Client, example: dict[str, Any]) -> None:
    exported = exported_labels(client, example)
    # Labels of an experiment's counters are known only while one runs; test_metrics_coverage.py has one.
    exported["skline_experiment_rows_total"] = {"arm"}
    exported["skline_experiment_challenger_failures_total"] = {"kind"}
    variables = [each["definition"] for each in CONTENT["templating"]["list"] if each["type"] == "query"]
    assert {name for query in [*queries(), *variables] for name in unknown_names(query, exported)} == set()


def test_legends_name_labels_that_are_exported(client: httpx.Client, example: dict[str, Any]) -> None:
    labels = set().union(*exported_labels(client, example).values()) | {"job", "instance", "arm", "kind"}
    legends = json.dumps([target["legendFormat"] for panel in CONTENT["panels"] for target in panel.get("targets", ())])
    assert set(re.findall(r"\{\{(\w+)\}\}", legends)) <= labels


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_parses_the_queries(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""`python -m scripts.dashboard`: write the Grafana dashboard of deploy/, which a test compares with the code.

The panels are in `scripts.panels`; `dashboard` turns them into Grafana's JSON. Grafana's own SDK for Python is not
used: its versions are those of Grafana behind the time of a build, so that the newest one may describe an old Grafana.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.panels import JOB, PANELS, STATES, STREAM_ROWS, Kind, Panel

PATH = Path(__file__).parent.parent / "deploy/grafana/dashboard.json"
#: Version of Grafana's dashboard JSON, that of Grafana 11; newer ones migrate it.
SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana's JSON."""
    return {
        "uid": "skline",
        "title": "skline",
        "description": "A service of skline and its monitoring; written by scripts/dashboard.py.",
        "tags": ["skline"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "annotations": {
            "list": [
                {
                    "name": "Releases",
                    "enable": True,
                    "iconColor": "purple",
                    "datasource": DATASOURCE,
                    "expr": f"changes(max(skline_release_number{JOB})[2m:1m]) > 0",
                    "titleFormat": "Release",
                }
            ]
        },
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                variable("job", "Service", "label_values(skline_ready, job)"),
                variable("monitor_job", "Monitoring", "label_values(skline_monitor_run_timestamp_seconds, job)"),
                variable("stream_job", "Streams", f"label_values({STREAM_ROWS}, job)"),
            ]
        },
        "panels": list(placed_panels()),
    }


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """Return a variable whose values are those of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "values"},
        "refresh": 2,
        "sort": 1,
    }


def placed_panels() -> Iterator[dict[str, Any]]:
    """Yield the panels from left to right, and below each other where a line is full."""
    number, top = 0, 0
    for title, panels in PANELS.items():
        number += 1
        yield {
            "id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        left, top, height = 0, top + 1, 0
        for panel in panels:
            if left + panel.width > COLUMNS or (height and panel.height != height):
                left, top = 0, top + height
            number, height = number + 1, panel.height
            yield panel_json(number, panel) | {"gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height}}
            left += panel.width
        top += height


def panel_json(number: int, panel: Panel) -> dict[str, Any]:
    """Return a panel without its place."""
    defaults: dict[str, Any] = {"unit": panel.unit} | panel.defaults
    if panel.limits:
        defaults["thresholds"] = thresholds(panel.limits)
    if panel.kind == "state-timeline":
        values = {
            str(number): {"text": state.replace("_", " "), "color": color, "index": number}
            for number, (state, color) in enumerate(STATES)
        }
        defaults["mappings"] = [{"type": "value", "options": values}]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query,
                "legendFormat": legend,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
                "instant": panel.kind in ("stat", "bargauge"),
                "range": panel.kind not in ("stat", "bargauge"),
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options(panel.kind) | panel.options,
    }


def thresholds(limits: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """Return limits as Grafana's thresholds; the first colour has no lower end."""
    steps = [{"value": value if index else None, "color": color} for index, (value, color) in enumerate(limits)]
    return {"mode": "absolute", "steps": steps}


def options(kind: Kind) -> dict[str, Any]:
    """Return the options of a kind of panel that differ from Grafana's defaults."""
    last = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    by_kind: dict[Kind, dict[str, Any]] = {
        "timeseries": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": last | {"graphMode": "none"},
        "bargauge": last | {"orientation": "horizontal", "displayMode": "basic"},
        "heatmap": {"calculate": False, "color": {"mode": "scheme", "scheme": "Blues", "steps": 64}},
        "state-timeline": {"showValue": "never"},
    }
    return by_kind[kind]


def text() -> str:
    """Return the content of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """Write the dashboard."""
    PATH.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

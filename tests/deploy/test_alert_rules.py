"""Each alert of deploy/prometheus/rules.yml fires when it must, and only then, by `promtool test rules`."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from tests.deploy.exported import exported_labels, unknown_names
from tests.fixtures.demo import ROOT

RULES = ROOT / "deploy/prometheus/rules.yml"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
HOUR, DAY = 60, 1440
PARTS, STATES = ("all", "drift", "performance"), ("ok", "insufficient_data", "warning", "alarm")
#: Both export the same textfile, and there is one alert.
INSTANCES = ("b", "c")


def service(name: str, **labels: str) -> str:
    """Return a series of the service."""
    text = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'{name}{{job="skline",instance="a"{text}}}'


def monitor(name: str, instance: str = "b", **labels: str) -> str:
    """Return a series of monitoring, as the textfile collector of the node exporter exports it."""
    text = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'skline_monitor_{name}{{job="node",instance="{instance}"{text}}}'


def stream(name: str, **labels: str) -> str:
    """Return a series of a member of a stream."""
    text = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'{name}{{job="skline-stream",instance="d"{text}}}'


DURATION = "skline_request_duration_seconds"
REQUESTS = service(f"{DURATION}_count", route="/predict", status="200")
FAST = service(f"{DURATION}_bucket", route="/predict", status="200", le="0.1")
ERRORS = service(f"{DURATION}_count", route="/predict", status="500")
PROBES = service(f"{DURATION}_count", route="/health/ready", status="503")
FALLBACKS = service("skline_fallback_rows_total", fallback="fixed")
FOUND, LATE, STALE, ABSENT = (
    service("skline_lookups_total", lookup="customers", outcome=outcome)
    for outcome in ("found", "timeout", "stale", "absent")
)
DROPPED, REJECTED = (service("skline_log_rows_total", outcome=outcome) for outcome in ("dropped", "rejected"))
STORE = service("skline_store_failures_total", store="log")
READY, RELEASE_REJECTED = service("skline_ready"), service("skline_release_rejected")
CANARY_ABORTED, PLAN_REJECTED = service("skline_canary_aborted"), service("skline_plan_rejected")
MODEL_WRITTEN = service("skline_model_written_timestamp_seconds")
RUN, PROBLEMS = monitor("run_timestamp_seconds"), monitor("problems")
WEBHOOK = monitor("webhook_failures_total")
ANSWERED, DEAD = (stream("skline_stream_rows_total", result=result) for result in ("scored", "rejected"))
LAG, COMMIT = stream("skline_stream_lag", partition="0"), stream("skline_stream_last_commit_timestamp_seconds")
LOST, COMMIT_FAILURES = stream("skline_stream_lost_messages_total"), stream("skline_stream_commit_failures_total")

#: Increase a minute of each series that counts, in a healthy service: one request in 2,000 fails, one in 500 is slow,
#: and one look-up in 500 is late.
RATES: dict[str, float] = {
    REQUESTS: 1000, FAST: 998, ERRORS: 0.5, PROBES: 6, FALLBACKS: 0, DROPPED: 0, REJECTED: 0, STORE: 0,
    FOUND: 900, LATE: 2, STALE: 10, ABSENT: 88,
    service("skline_log_rows_total", outcome="abandoned"): 3,
    RUN: 60, WEBHOOK: 0,
    ANSWERED: 1000, DEAD: 1, COMMIT: 60, LOST: 0, COMMIT_FAILURES: 0,
}  # fmt: skip
#: Value of each other series.
VALUES: dict[str, float] = {
    service("up"): 1,
    READY: 1,
    RELEASE_REJECTED: 0,
    CANARY_ABORTED: 0,
    PLAN_REJECTED: 0,
    MODEL_WRITTEN: -80 * 86400,  # 80 days before the start of the test, which is the time 0
    PROBLEMS: 0,
    stream("up"): 1,
    LAG: 50,
} | {
    monitor("state", instance, part=part, state=state): float(state == "ok")
    for instance in INSTANCES
    for part in PARTS
    for state in STATES
}


class Case(NamedTuple):
    """A fault from the minute `start` to the minute `end`, and which alerts fire at which minutes.

    `fault` has the values of series, or their increase a minute; None: the series has vanished.
    """

    name: str
    fault: Mapping[str, float | None]
    start: int
    end: int
    firing: Mapping[int, set[str]]


def in_state(part: str, state: str) -> dict[str, float | None]:
    return {
        monitor("state", instance, part=part, state=each): float(each == state)
        for instance in INSTANCES
        for each in STATES
    }


#: With a history of two hours a fault takes a large share of three days, so that these alerts fire too.
SLOW_ERRORS, SLOW_LATENCY = {"SklineErrorsSlowBurn"}, {"SklineLatencySlowBurn"}
#: Evaluated every minute for two hours.
SHORT = [
    Case("healthy", {PROBES: 5000}, 60, 90, {1: set(), 30: set(), 89: set(), 119: set()}),
    Case("down", {service("up"): 0}, 30, 40, {31: set(), 32: {"SklineDown"}, 39: {"SklineDown"}, 40: set()}),
    Case(
        "nothing to scrape", {service("up"): None, RUN: None}, 0, 90,
        {4: set(), 59: {"SklineAbsent"}, 70: {"SklineAbsent", "SklineMonitoringAbsent"}, 91: set()},
    ),
    Case("10 % fail", {ERRORS: 100}, 60, 80, {59: set(), 75: {"SklineErrorsFastBurn"} | SLOW_ERRORS, 115: SLOW_ERRORS}),
    Case("10 % slow", {FAST: 900}, 60, 119, {59: set(), 80: SLOW_LATENCY, 118: SLOW_LATENCY}),
    Case("half slow", {FAST: 500}, 60, 80, {75: {"SklineLatencyFastBurn"} | SLOW_LATENCY, 115: SLOW_LATENCY}),
    Case(
        "a few rows", {FALLBACKS: 1, DROPPED: 5}, 30, 32,
        {29: set(), 33: {"SklineFallbackUsed", "SklineLogRowsLost"}, 60: set()},
    ),
    Case(
        "store fails", {STORE: 2, REJECTED: 1}, 30, 50,
        {39: {"SklineLogRowsLost"}, 45: {"SklineLogRowsLost", "SklineStoreFailing"}, 70: set()},
    ),
    Case(
        "a store is slow", {FOUND: 850, LATE: 52}, 30, 50,
        {29: set(), 34: set(), 40: {"SklineLookupFailing"}, 49: {"SklineLookupFailing"}, 61: set()},
    ),
    Case(
        "a store is not filled any more", {FOUND: 0, STALE: 910}, 30, 60,
        {29: set(), 40: set(), 45: {"SklineLookupUnusable"}, 60: {"SklineLookupUnusable"}, 119: set()},
    ),
    Case("unknown callers", {FOUND: 0, ABSENT: 988}, 30, 60, {45: set(), 59: set()}),
    Case(
        "release", {READY: 0, RELEASE_REJECTED: 1, CANARY_ABORTED: 1, PLAN_REJECTED: 1}, 30, 45,
        {
            29: set(),
            31: {"SklineCanaryAborted"},
            33: {"SklineCanaryAborted", "SklineNotReady"},
            36: {"SklineCanaryAborted", "SklineNotReady", "SklineReleaseRejected"},
            41: {"SklineCanaryAborted", "SklineNotReady", "SklineReleaseRejected", "SklinePlanRejected"},
            45: set(),
        },
    ),
    Case(
        "monitoring", in_state("drift", "warning") | in_state("performance", "alarm") | {PROBLEMS: 2}, 30, 60,
        {29: set(), 31: {"SklineMonitorWarning", "SklineMonitorAlarm", "SklineMonitorProblems"}, 60: set()},
    ),
    Case("a member is down", {stream("up"): 0}, 30, 40, {34: set(), 36: {"SklineStreamDown"}, 41: set()}),
    Case("a stream without messages", {ANSWERED: 0, DEAD: 0, COMMIT: 0, LAG: 0}, 30, 119, {60: set(), 118: set()}),
    Case(
        "a stream hangs", {ANSWERED: 0, DEAD: 0, COMMIT: 0, LAG: 5_000}, 30, 60,
        {29: set(), 45: set(), 47: {"SklineStreamStalled"}, 59: {"SklineStreamStalled"}},
    ),
    Case("a stream is slow", {LAG: 20_000}, 30, 60, {39: set(), 41: {"SklineStreamLagging"}, 61: set()}),
    Case(
        "a tenth of the messages is no row", {ANSWERED: 900, DEAD: 101}, 30, 60,
        {44: set(), 57: {"SklineStreamRejecting"}, 90: set()},
    ),
    Case(
        "commits fail, and messages are deleted", {LOST: 100, COMMIT_FAILURES: 1}, 30, 45,
        {
            29: set(), 32: {"SklineStreamMessagesLost"}, 42: {"SklineStreamMessagesLost", "SklineStreamCommitsFailing"},
            119: set(),
        },
    ),
]  # fmt: skip
#: Evaluated every hour for four days.
LONG = [
    Case("healthy", {}, 0, 0, {HOUR: set(), 2 * DAY: set(), 4 * DAY: set()}),
    Case("0.4 % fail", {ERRORS: 4}, DAY, 3 * DAY, {DAY: set(), 3 * DAY: SLOW_ERRORS}),
    Case("0.15 % fail for days", {ERRORS: 1.5}, 0, 4 * DAY, {4 * DAY: SLOW_ERRORS}),
    Case("4 % slow", {FAST: 960}, DAY, 3 * DAY, {DAY: set(), 3 * DAY: SLOW_LATENCY}),
    Case("old model", {MODEL_WRITTEN: -91 * 86400}, 0, 5 * DAY, {0: set(), 2 * HOUR: {"SklineModelOld"}}),
    Case("monitoring stops", {RUN: 0}, DAY, 4 * DAY, {3 * DAY - 60: set(), 3 * DAY + 120: {"SklineMonitoringStale"}}),
    Case(
        "few data", in_state("all", "insufficient_data"), DAY, 5 * DAY,
        {3 * DAY - 60: set(), 3 * DAY: {"SklineMonitorInsufficientData"}},
    ),
    Case(
        "webhook", {WEBHOOK: 0.02}, DAY, DAY + HOUR,
        {DAY - HOUR: set(), DAY + HOUR: {"SklineMonitorWebhookFailing"}, 3 * DAY: set()},
    ),
    Case("few data for a day", in_state("drift", "insufficient_data"), DAY, 2 * DAY, {2 * DAY: set(), 4 * DAY: set()}),
]  # fmt: skip


def values(series: str, case: Case, step: int, steps: int) -> str:
    """Return the values of a series, one each `step` minutes, in promtool's notation; `_` is a missing one."""
    texts, level = [], 0.0
    for minute in range(0, step * steps, step):
        is_faulty = case.start <= minute < case.end and series in case.fault
        value = case.fault[series] if is_faulty else RATES.get(series, VALUES.get(series))
        if value is not None and series in RATES:
            level += value * step
            value = level
        texts.append("_" if value is None else f"{value:.10g}")
    return " ".join(texts)


def suite(cases: list[Case], step: int, steps: int) -> dict[str, Any]:
    """Return a file for `promtool test rules`: at each minute, exactly the expected alerts fire."""
    return {
        "rule_files": [str(RULES)],
        "group_eval_order": ["skline-objectives", "skline-service", "skline-monitoring", "skline-streams"],
        "evaluation_interval": f"{step}m",
        "tests": [
            {
                "name": case.name,
                "interval": f"{step}m",
                "input_series": [
                    {"series": series, "values": values(series, case, step, steps)} for series in RATES | VALUES
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)],
                    }
                    for minute, alerts in case.firing.items()
                ],
            }
            for case in cases
        ],
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
@pytest.mark.parametrize(("cases", "step", "steps"), [(SHORT, 1, 2 * HOUR), (LONG, HOUR, 4 * DAY // HOUR + 1)])
def test_exactly_the_expected_alerts_fire(cases: list[Case], step: int, steps: int, tmp_path: Path) -> None:
    file = tmp_path / "rules_test.json"  # JSON is YAML
    file.write_text(json.dumps(suite(cases, step, steps)))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_in_a_case() -> None:
    fired = set().union(*(alerts for case in SHORT + LONG for alerts in case.firing.values()))
    assert fired == ALERTS.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_how_serious_it_is_and_what_was_found(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("warning", "critical")
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert "{{ $value" in annotations["description"]
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_runbook_has_a_section_for_each_alert_and_an_alert_for_each_section() -> None:
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (Skline\w+)$", text, re.MULTILINE) == list(ALERTS)


def test_rules_name_only_metrics_and_labels_that_are_exported(client: httpx.Client, example: dict[str, Any]) -> None:
    exported = exported_labels(client, example)
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert {name for rule in rules for name in unknown_names(rule["expr"], exported)} == set()
    assert list(unknown_names('skline_none + skline_ready{queue="log"}', exported)) == [
        "skline_none",
        "skline_ready{queue}",
    ]


def test_names_in_the_runbook_are_exported(client: httpx.Client, example: dict[str, Any]) -> None:
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    text = text.replace("skline_monitor.prom", "")  # a file
    assert set(unknown_names(text, exported_labels(client, example))) == set()

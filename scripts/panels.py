"""The panels of the Grafana dashboard, by row: what each shows, and its queries.

`scripts.dashboard` turns them into Grafana's JSON. To add a panel, add one `Panel` to `PANELS`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

JOB, MONITOR, STREAM = '{job="$job"}', '{job="$monitor_job"}', '{job="$stream_job"}'
STREAM_ROWS = "skline_stream_rows_total"
#: The routes of users: neither probes nor scrapes.
USERS = 'job="$job",route!~"/health/.*|/metrics|other"'
LATENCY = "skline_request_duration_seconds"
STATES = (("ok", "green"), ("insufficient_data", "blue"), ("warning", "orange"), ("alarm", "red"))
Kind = Literal["timeseries", "stat", "heatmap", "bargauge", "state-timeline"]


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes
    ----------
    queries : dict of str to str
        Legend → PromQL; the legend may name labels, `{{part}}`.
    unit : str
        A unit of Grafana: short, s, percentunit, reqps, bytes.
    width, height : int
        In cells of a grid of 24 columns.
    limits : tuple of (float, str)
        From which value on a stat has which colour.
    defaults, options : dict
        Grafana's, besides those that all panels of the kind have.
    """

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    limits: tuple[tuple[float, str], ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def stat(
    title: str, description: str, query: str, unit: str = "short", limits: tuple[tuple[float, str], ...] = ()
) -> Panel:
    """Return a panel with one figure."""
    return Panel(title, description, {"": query}, unit, "stat", width=4, height=4, limits=limits)


def quantiles(route: str) -> dict[str, str]:
    """Return the queries of the time that half, 95 and 99 % of the requests of a route take."""
    return quantiles_of(f'{LATENCY}_bucket{{job="$job",route="{route}",status="200"}}')


def quantiles_of(selector: str) -> dict[str, str]:
    """Return the queries of the value below which half, 95 and 99 % of a histogram are."""
    return {
        name: f"histogram_quantile({share}, sum by (le) (rate({selector}[$__rate_interval])))"
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def rates(metric: str, label: str) -> dict[str, str]:
    """Return the query of the increase a second of a counter of the service, by a label."""
    return {f"{{{{{label}}}}}": f"sum by ({label}) (rate({metric}{JOB}[$__rate_interval]))"}


#: The state of each part as the position in STATES.
STATE_QUERY = "max by (part) ({})".format(
    " or ".join(
        f'({number} * (skline_monitor_state{{job="$monitor_job",state="{state}"}} == 1))'
        for number, (state, _) in enumerate(STATES)
    )
)
PANELS: dict[str, tuple[Panel, ...]] = {
    "Operations": (
        stat(
            "Ready", "Instances that can predict", f"sum(skline_ready{JOB})", limits=((0, "red"), (1, "green"))
        ),
        stat(
            "Alerts", "Alerts of deploy/prometheus/rules.yml that fire",
            'count(ALERTS{alertname=~"Skline.+",alertstate="firing"}) or vector(0)',
            limits=((0, "green"), (1, "red")),
        ),
        stat(
            "Failed requests", "Share of users' requests with a status of 5xx, over an hour; the objective is 0.1 %",
            f'sum(rate({LATENCY}_count{{{USERS},status=~"5.."}}[1h])) / sum(rate({LATENCY}_count{{{USERS}}}[1h]))'
            f" or 0 * sum(rate({LATENCY}_count{{{USERS}}}[1h]))",
            "percentunit", limits=((0, "green"), (0.001, "orange"), (0.0144, "red")),
        ),
        stat(
            "Slow predictions", "Share of predictions of one row over 100 ms, over an hour; the objective is 1 %",
            f'1 - sum(rate({LATENCY}_bucket{{job="$job",route="/predict",status="200",le="0.1"}}[1h]))'
            f' / sum(rate({LATENCY}_count{{job="$job",route="/predict",status="200"}}[1h]))',
            "percentunit", limits=((0, "green"), (0.01, "orange"), (0.144, "red")),
        ),
        stat(
            "Release", "Number of the release that is served; 0 if there is none", f"max(skline_release_number{JOB})"
        ),
        stat(
            "Age of the model", "Since the artifact that is served was written",
            f"time() - max(skline_model_written_timestamp_seconds{JOB})", "s",
            limits=((0, "green"), (90 * 86_400, "orange")),
        ),
        Panel(
            "Requests", "By status, without probes and scrapes",
            {"{{status}}": f"sum by (status) (rate({LATENCY}_count{{{USERS}}}[$__rate_interval]))"}, "reqps",
        ),
        Panel("Time of a prediction of one row", "Time that 50, 95 and 99 % take", quantiles("/predict"), "s"),
        Panel("Time of a batch", "Time that 50, 95 and 99 % take", quantiles("/predict/batch"), "s"),
        Panel("Requests not admitted", "By reason", rates("skline_rejected_requests_total", "reason"), "reqps"),
        Panel(
            "Queues", "Rows waiting to be logged or scored, and requests waiting for a slot",
            {"{{queue}}": f"max by (queue) (skline_queue_length{JOB})"},
        ),
        Panel("Rows of the prediction log", "By outcome, a second", rates("skline_log_rows_total", "outcome")),
        Panel("Failures of stores", "Failed reads and writes, a second", rates("skline_store_failures_total", "store")),
        Panel(
            "Look-ups", "Rows whose inputs were looked up by what became of it, a second",
            {
                "{{lookup}}: {{outcome}}":
                f"sum by (lookup, outcome) (rate(skline_lookups_total{JOB}[$__rate_interval]))"
            },
        ),
        Panel(
            "Time of a look-up", "Time that 99 % of the requests wait at most",
            {
                "{{lookup}}": "histogram_quantile(0.99, sum by (lookup, le) "
                f"(rate(skline_lookup_duration_seconds_bucket{JOB}[$__rate_interval])))"
            },
            "s",
        ),
        Panel(
            "Connections", "Open ones, and those that the service closed, a second",
            {"open": f"sum(skline_open_connections{JOB})"} | rates("skline_connections_closed_total", "reason"),
        ),
        Panel(
            "Memory", "Of the process, and of request bodies that arrive",
            {
                "{{instance}}": f"process_resident_memory_bytes{JOB}",
                "{{instance}}: bodies": f"skline_body_memory_bytes{JOB}",
            },
            "bytes",
        ),
    ),
    "Data": (
        stat(
            "Rows of the window", "Predictions of the newest window of monitoring",
            f"max(skline_monitor_window_rows{MONITOR})",
        ),
        stat(
            "Age of monitoring", "Since `skline monitor` last succeeded; the states are of that time",
            f"time() - max(skline_monitor_run_timestamp_seconds{MONITOR})", "s",
            limits=((0, "green"), (2 * 86_400, "red")),
        ),
        stat(
            "Drift that matters", "Share of the model's importance that has drifted, weighted by its effect",
            f"max(skline_monitor_drift_importance{MONITOR})", "percentunit", limits=((0, "green"), (0.05, "orange")),
        ),
        stat(
            "Problems", "Parts or columns that monitoring could not compute", f"max(skline_monitor_problems{MONITOR})",
            limits=((0, "green"), (1, "orange")),
        ),
        stat(
            "Messages not delivered", "Of monitoring to its webhook, within a day",
            f"max(increase(skline_monitor_webhook_failures_total{MONITOR}[1d]))", limits=((0, "green"), (1, "orange")),
        ),
        Panel(
            "Drift by column", "Kolmogorov-Smirnov distance or total variation of the newest window, the largest 15",
            {"{{column}}": f"topk(15, max by (column) (skline_monitor_drift_effect{MONITOR}))"},
            kind="bargauge", height=8, defaults={"min": 0, "max": 1},
        ),
        Panel(
            "Missing values", "Rows in which the column is missing, a second",
            rates("skline_input_missing_values_total", "column"), height=8,
        ),
        Panel(
            "Categories that training did not have", "Rows, a second",
            rates("skline_input_unseen_categories_total", "column"), height=8,
        ),
        Panel(
            "Invalid requests", "Requests for predictions with status 422 by what was wrong, a second",
            {
                "{{column}}: {{rule}}":
                f"sum by (rule, column) (rate(skline_invalid_requests_total{JOB}[$__rate_interval]))"
            },
            width=24, height=8,
        ),
    ),
    "Model": (
        Panel(
            "State of each part", "Of the newest window", {"{{part}}": STATE_QUERY},
            kind="state-timeline", width=24, height=8,
        ),
        Panel(
            "Metrics on labels", "Of the newest window, with the ends of their 95 % intervals",
            {"{{metric}} {{bound}}": f"max by (metric, bound) (skline_monitor_metric{MONITOR})"},
        ),
        Panel(
            "Predictions with a label", "Share of those that are old enough to have one",
            {"labelled": f"max(skline_monitor_label_coverage{MONITOR})"}, "percentunit",
            defaults={"min": 0, "max": 1},
        ),
        Panel(
            "Scores", "Distribution of the predictions' scores",
            {"{{le}}": f"sum by (le) (increase(skline_score_bucket{JOB}[$__rate_interval]))"}, kind="heatmap",
        ),
        Panel("Fallbacks", "Rows that the model did not score", rates("skline_fallback_rows_total", "fallback")),
        Panel(
            "Experiment", "Rows of the running experiment by arm, and failures of the challenger, a second",
            rates("skline_experiment_rows_total", "arm") | rates("skline_experiment_challenger_failures_total", "kind"),
        ),
        Panel(
            "Served model", "Version, and how it is scored, by instance",
            {"{{instance}}: {{version}} ({{scoring_path}})": f"skline_model_info{JOB}"},
            kind="stat", options={"textMode": "name"},
        ),
    ),
    "Business": (
        Panel(
            "Business figures for 1,000 predictions", "The figures of `monitor.kpis`, of the newest window",
            {"{{kpi}}": f"max by (kpi) (skline_monitor_kpi_per_thousand{MONITOR})"}, width=12,
        ),
        Panel(
            "Predictions by class", "Share of each class (classifiers)",
            {
                "{{class}}": f"sum by (class) (rate(skline_predictions_total{JOB}[$__rate_interval]))"
                f" / scalar(sum(rate(skline_predictions_total{JOB}[$__rate_interval])))"
            },
            "percentunit", width=12,
        ),
        Panel(
            "Predictions an hour", "All rows that were predicted",
            {"predictions": f"sum(increase(skline_score_count{JOB}[1h]))"}, width=12,
        ),
        Panel(
            "Reviews beyond the capacity", "Predictions in the review band for which nobody has time, an hour",
            {"not reviewed": f"sum(increase(skline_review_beyond_capacity_total{JOB}[1h]))"}, width=12,
        ),
    ),
    "Streams": (
        stat(
            "Members", "Members of streams that export metrics", f"count(skline_stream_rebalances_total{STREAM})",
            limits=((0, "red"), (1, "green")),
        ),
        stat(
            "Oldest commit", "Of a member; without messages there is nothing to commit",
            f"time() - min(skline_stream_last_commit_timestamp_seconds{STREAM})", "s",
        ),
        stat(
            "Rejected messages", "Share of an hour's messages",
            f'sum(rate({STREAM_ROWS}{{job="$stream_job",result="rejected"}}[1h]))'
            f" / sum(rate({STREAM_ROWS}{STREAM}[1h]))",
            "percentunit", limits=((0, "green"), (0.05, "orange")),
        ),
        stat(
            "Deleted before processing", "Messages within a day",
            f"sum(increase(skline_stream_lost_messages_total{STREAM}[1d]))", limits=((0, "green"), (1, "red")),
        ),
        stat(
            "Failed commits", "Within a day; their messages are processed again",
            f"sum(increase(skline_stream_commit_failures_total{STREAM}[1d]))", limits=((0, "green"), (1, "orange")),
        ),
        Panel(
            "Rows of streams", "By result, a second",
            {"{{result}}": f"sum by (result) (rate({STREAM_ROWS}{STREAM}[$__rate_interval]))"},
        ),
        Panel("Lag", "Messages that are not processed yet", {
            "{{partition}}": f"sum by (partition) (skline_stream_lag{STREAM})"
        }),
        Panel(
            "Time of a batch of a stream", "Time that 50, 95 and 99 % take, to score and to write",
            quantiles_of(f"skline_stream_batch_seconds_bucket{STREAM}"), "s",
        ),
    ),
}  # fmt: skip

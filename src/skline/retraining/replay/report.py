"""The result of a replay: a sentence, a table for the terminal, and a page with the metric over time."""

from collections.abc import Mapping, Sequence
from html import escape

from skline.counting import counted
from skline.evaluation.metrics import label_of
from skline.monitoring.estimates import Estimate
from skline.reporting import html
from skline.reporting.format import format_interval, format_number
from skline.retraining.replay.chart import policy_chart
from skline.retraining.replay.outcome import PolicyOutcome, ReplayResult
from skline.settings.monitor import format_duration

#: Columns of the table that are numbers.
NUMBERS = ("trainings", "promoted", "rejected", "true alarms", "false alarms", "labels used", "processor s")
#: What the replayed policy is in comparison with another one, by the interval of the other one's gain.
VERDICTS = ("better than", "worse than", "not shown to differ from", "not compared with")


def headline(result: ReplayResult) -> str:
    """Return the result in two sentences: how good the replayed policy was, and what it is compared with the others."""
    policy, metric = result.replayed, _metric(result)
    trained, promoted = len(policy.trainings), len(policy.promotions)
    text = (
        f"{policy.name}: mean {metric} {_figure(policy.mean)} with {counted(trained, 'training')}, "
        f"{promoted} of them promoted."
    )
    verdicts: dict[str, list[str]] = {}
    for other in result.policies[1:]:
        verdicts.setdefault(comparison(other.gain), []).append(f"{other.name} ({_count_trainings(other)})")
    parts = [f"{verdict} {_list(verdicts[verdict])}" for verdict in VERDICTS if verdict in verdicts]
    return f"{text} It is {'; '.join(parts)}." if parts else text


def comparison(gain: Estimate) -> str:
    """Return what the replayed policy is in comparison with one that has a gain over it."""
    if gain.low is None or gain.high is None:
        return "not compared with"
    return "better than" if gain.high < 0 else "worse than" if gain.low > 0 else "not shown to differ from"


def rows_of(result: ReplayResult) -> list[dict[str, str]]:
    """Return the rows of the table: one for each policy, the replayed one first."""
    gain = f"gain over {result.replayed.name}"
    return [
        {
            "policy": policy.name,
            f"mean {_metric(result)}": _figure(policy.mean),
            gain: _figure(policy.gain, signed=True) if policy is not result.replayed else "",
            "trainings": f"{len(policy.trainings)}",
            "promoted": f"{len(policy.promotions)}",
            "rejected": f"{len(policy.rejections)}",
            "true alarms": f"{policy.true_alarms}",
            "false alarms": f"{policy.false_alarms}",
            "labels used": f"{policy.labels_used:,}",
            "processor s": f"{policy.processor_seconds:,.0f}",
        }
        for policy in result.policies
    ]


def text_table(result: ReplayResult) -> str:
    """Return the headline and the table for a terminal."""
    rows = rows_of(result)
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}

    def line(cells: Mapping[str, str]) -> str:
        aligned = [
            cells[name].rjust(widths[name]) if name in NUMBERS else cells[name].ljust(widths[name]) for name in names
        ]
        return "  ".join(aligned).rstrip()

    return "\n".join([headline(result), "", line({name: name for name in names}), *map(line, rows)])


def render_report(result: ReplayResult) -> str:
    """Return the page: one self-contained HTML file without scripts."""
    title = result.title or result.project
    charts = "\n".join(policy_chart(result, policy) for policy in result.policies)
    sections = [
        ("Metric over time", f'{_key()}\n<div class="charts">\n{charts}\n</div>'),
        ("Policies", _table(result)),
        ("Trainings", "\n".join(filter(None, (_trainings(policy) for policy in result.policies)))),
    ]
    body = [
        f'<header>\n<p class="kicker">Replay</p>\n<h1>{escape(title)}</h1>',
        f'<p class="soft">{_period(result)}</p>',
        f'<div class="verdict unknown"><p>{escape(headline(result))}</p></div>\n</header>\n<main>',
        *(f"<section>\n<h2>{heading}</h2>\n{inside}\n</section>" for heading, inside in sections if inside),
        f"</main>\n<footer>{_footer(result)}</footer>",
    ]
    return html.document(f"Replay: {title}", "\n".join(body))


def _period(result: ReplayResult) -> str:
    requests = ""
    if result.requests is not None:
        requests = f" {result.requests:,} requests to the service, {result.failed_requests or 0:,} of them failed."
    return (
        f"{result.start:%Y-%m-%d %H:%M} to {result.end:%Y-%m-%d %H:%M} UTC, {result.replayed.rows:,} predictions, "
        f"labels {format_duration(result.label_delay)} later.{requests}"
    )


def _key() -> str:
    return (
        '<p class="soft">Each chart has the metric of every period with its 95 % interval; grey lines are the other '
        "policies. Below: a filled triangle is a training whose version was promoted, an empty one any other training. "
        "Above: a red bar is an alarm that the following period confirms, a grey one an alarm that it does not.</p>"
    )


def _table(result: ReplayResult) -> str:
    rows = rows_of(result)
    caption = (
        f"Mean {_metric(result)} over the periods, weighted by their labels, with 95 % intervals; a gain above zero is "
        "better. An alarm is true if the following period confirms it"
    )
    described = "".join(f"<li><b>{escape(each.name)}</b>: {escape(each.description)}</li>" for each in result.policies)
    return html.table(rows, caption, NUMBERS) + f"\n<ul>{described}</ul>"


def _trainings(policy: PolicyOutcome) -> str:
    if not policy.trainings:
        return ""
    rows = [
        {
            "time": f"{each.time:%Y-%m-%d %H:%M}", "outcome": each.outcome, "version": each.model,
            "rows": "" if each.rows is None else f"{each.rows:,}", "why": each.reason, "gates": each.message,
        }
        for each in policy.trainings
    ]  # fmt: skip
    table = html.table(rows, f"Trainings of the policy {policy.name}", ("rows",))
    return f"<details><summary>{escape(policy.name)}: {_count_trainings(policy)}</summary>{table}</details>"


def _footer(result: ReplayResult) -> str:
    live = "" if result.live is None else f" {escape(result.live.name)} ran against a service."
    simulated = ", ".join(escape(each.name) for each in result.compared)
    return (
        f"Simulated in process: {simulated or 'none'}.{live} Intervals assume independent rows, and take the models as "
        "they are. Processor seconds are those of trainings and gates. Hindsight learns from rows that came later, and "
        f"no policy can. Seed {result.seed}."
    )


def _metric(result: ReplayResult) -> str:
    """Return the name of the metric as it is written within a sentence."""
    name = label_of(result.metric)
    return name if name[:2].isupper() else name[0].lower() + name[1:]  # such as RMSE and R²


def _figure(figure: Estimate, *, signed: bool = False) -> str:
    if figure.value is None:
        return "none"
    if figure.low is None or figure.high is None:
        return format_number(figure.value, signed=signed)
    return f"{format_number(figure.value, signed=signed)} ({format_interval(figure.low, figure.high, signed=signed)})"


def _count_trainings(policy: PolicyOutcome) -> str:
    return counted(len(policy.trainings), "training")


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

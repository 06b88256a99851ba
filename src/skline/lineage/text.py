"""Traces as text for people: aligned pairs of a name and a value, and tables."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skline.artifact.provenance import describe_libraries
from skline.entrypoint import visible
from skline.lineage.models import ModelRecord
from skline.lineage.predictions import LoggedLabel
from skline.lineage.trace import Trace, format_prediction
from skline.release.registered import RegisteredVersion

Pairs = list[tuple[str, str]]
#: Columns of the table of several predictions.
COLUMNS = ("prediction_id", "time", "model_version", "scoring_path", "prediction", "labels", "outcome")
#: What is said of a prediction that is different now although nothing else is.
NOTHING_DIFFERS = (
    "nothing that is recorded of libraries, engine and project code: the logged row was changed, or another processor "
    "rounds differently"
)
#: What `review` means.
REVIEWS = {1: "its score is in the review band", 2: "drawn at random"}


def prediction_text(trace: Trace) -> str:
    """Return one traced prediction."""
    logged = trace.prediction
    pairs: Pairs = [
        ("prediction_id", logged.prediction_id),
        ("time", str(logged.time)),
        ("model_version", logged.model_version),
        ("artifact_digest", logged.artifact_digest),
        ("scoring_path", logged.scoring_path),
        ("inputs", json.dumps(logged.inputs, ensure_ascii=False)),
        ("prediction", format_prediction(logged.prediction, _by_class(logged.probabilities))),
        ("review", REVIEWS.get(logged.review or 0, "")),
    ]
    names = ("role", "experiment", "arm", "bucket", "lookups", "request_id", "entity", "event_time", "latency_us")
    pairs += [(name, str(getattr(logged, name))) for name in names if getattr(logged, name) is not None]
    if (served := trace.served_as) is not None:
        published = f"published {served.published_at:%Y-%m-%d %H:%M:%S}"
        pairs.append(("served as", f"{served.arm} of release {served.release}, {published}"))
    pairs += [("label", _label_text(label)) for label in trace.labels]
    if trace.model is not None:
        pairs += model_pairs(trace.model)
    result = trace.recomputation
    pairs.append(("recomputed", f"{result.outcome}: {result.reason}"))
    if result.outcome == "different":
        pairs += [("differs here", text) for text in trace.differences or (NOTHING_DIFFERS,)]
    return aligned(pairs)


def model_pairs(model: ModelRecord) -> Pairs:
    """Return what is recorded about an artifact."""
    confirmed = ", ".join(model.confirmed_by) or "nothing but the log"
    pairs: Pairs = [
        ("artifact", f"{model.artifact_digest}, named by {confirmed}"),
        ("folder", ", ".join(map(str, model.folders)) or "not on this machine"),
        ("serves now as", ", ".join(model.served_as)),
    ]
    pairs += [("registered", _registered_text(line)) for line in model.registered]
    pairs += [("verdict", _verdict_text(line)) for line in model.registered[-1:]]
    if (entry := model.registry) is not None:
        found = f"{entry.label}, run {entry.run_id}" + (
            f", aliases {', '.join(entry.aliases)}" if entry.aliases else ""
        )
        pairs.append(("MLflow", entry.problem or found))
    if (manifest := model.manifest) is not None:
        pairs += [("data_sha256", f"{digest} {part}") for part, digest in manifest.data_sha256.items()]
        pairs += [
            ("params_sha256", manifest.params_sha256),
            ("engine", manifest.engine or ""),
            ("libraries", describe_libraries(manifest.libraries)),
        ]
    return pairs


def predictions_table(traces: Mapping[str, Trace | None]) -> str:
    """Return several traced predictions, one a line, and the number of each outcome."""
    rows = [_row(prediction_id, trace) for prediction_id, trace in traces.items()]
    counts = Counter("not found" if trace is None else trace.recomputation.outcome for trace in traces.values())
    summary = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    return f"{table(COLUMNS, rows)}\n\n{summary}"


def aligned(pairs: Iterable[tuple[str, str]]) -> str:
    """Return pairs of a name and a value, one a line, the values below each other; empty values are left out."""
    shown = [(name, visible(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    lines, previous = [], None
    for name, value in shown:
        lines.append(f"{'' if name == previous else name:<{width}}  {value}")
        previous = name
    return "\n".join(lines)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts with a header, each column as wide as its widest cell."""
    shown = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, cells)) for cells in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def _row(prediction_id: str, trace: Trace | None) -> list[str]:
    if trace is None:
        return [prediction_id, "", "", "", "", "", "not found: the log does not hold it"]
    logged, result = trace.prediction, trace.recomputation
    return [
        prediction_id, logged.time.isoformat(" ", "milliseconds"), logged.model_version, logged.scoring_path,
        json.dumps(logged.prediction, ensure_ascii=False), str(len(trace.labels)),
        f"{result.outcome}: {result.reason}",
    ]  # fmt: skip


def _label_text(label: LoggedLabel) -> str:
    corrected = "" if label.valid else ", corrected later"
    return f"{json.dumps(label.label, ensure_ascii=False)}, arrived {label.time} by {label.key}{corrected}"


def _registered_text(line: RegisteredVersion) -> str:
    return f"{line.model}/{line.version} at {line.time:%Y-%m-%d %H:%M:%S} {line.made_from}"


def _verdict_text(line: RegisteredVersion) -> str:
    if line.verdict is None:
        return "not recorded"
    failed, undecided = ", ".join(line.verdict.failed), ", ".join(line.verdict.undecided)
    text = "passed" if line.verdict.passed else f"failed: {failed}"
    return f"{text}; undecided: {undecided}" if undecided else text


def _by_class(probabilities: Any) -> Mapping[str, float]:
    return probabilities if isinstance(probabilities, dict) else {}

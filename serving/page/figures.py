"""The model's main figures for people, from the manifest and the card."""

from collections.abc import Mapping
from html import escape
from typing import Any

from skline.artifact import Manifest

#: What each metric is called and means. Those that hang on a threshold are left to the card.
METRICS = {
    "accuracy": ("Accuracy", "share of right answers"),
    "roc_auc": ("ROC AUC", "how often a case that is ranks above one that is not; 0.5 is chance, 1 is perfect"),
    "pr_auc": ("Average precision", "share of hits among the highest ranked, over all cut-offs; 1 is perfect"),
    "brier": ("Brier score", "mean squared error of the probabilities; 0 is perfect"),
    "log_loss": ("Log loss", "surprise at the truth; 0 is perfect"),
    "ece": ("Calibration error", "mean gap between stated and observed frequency; 0 is perfect"),
    "rmse": ("RMSE", "root of the mean squared error, in the target's unit"),
    "mae": ("Mean error", "mean absolute error, in the target's unit"),
    "median_ae": ("Median error", "half of the errors are smaller, in the target's unit"),
    "r2": ("R²", "share of the variance explained; 1 is perfect"),
}
MODELS = {"model": "This model", "linear": "Linear model", "dummy": "Constant guess"}
PARTS = {"train": "Trained on", "validation": "Validated on", "test": "Tested on"}


def facts(manifest: Manifest, card: str) -> str:
    """Return what the model is for, how good it is and what it was made of, as HTML."""
    sections = card_sections(card)
    use = sections.get("Intended use", "")
    commit = manifest.git_commit or ""
    changed = " with uncommitted changes" if manifest.git_dirty else ""
    lines = {
        **_data(sections.get("Data", "")),
        "Made": manifest.created_at[:10],
        "From commit": f"{commit[:12]}{changed}" if commit else "",
        "Data (SHA-256)": manifest.data_sha256.get("train", "")[:12],
        "Library": "scikit-learn " + manifest.libraries["scikit-learn"] if "scikit-learn" in manifest.libraries else "",
    }
    listed = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>" for name, fact in lines.items() if fact
    )
    said = f'<p class="use">{escape(use)}</p>\n' if use else ""
    return f'{said}<div class="figures">\n{_quality(manifest.metrics)}<dl>\n{listed}\n</dl>\n</div>'


def card_sections(card: str) -> dict[str, str]:
    """Return the card's sections by heading."""
    parts = card.split("\n## ")[1:]
    return {heading.strip(): text.strip() for heading, _, text in (part.partition("\n") for part in parts)}


def _data(section: str) -> dict[str, str]:
    """Return rows and dates of the parts, out of the card's table of them."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    told = {}
    for cells in lines[2:]:
        part = dict(zip(lines[0], cells, strict=False))
        name, rows = PARTS.get(part.get("part", "")), part.get("rows", "")
        if name and rows.isdigit():
            dates = f", {part['from'][:10]} to {part['to'][:10]}" if part.get("from") and part.get("to") else ""
            told[name] = f"{int(rows):,} rows{dates}"
    return told


def _quality(metrics: Mapping[str, Any]) -> str:
    """Return the table of metrics, beside the baselines; nothing where there are none."""
    models = [name for name in MODELS if isinstance(metrics.get(name), dict)]
    names = [name for name in METRICS if "model" in models and name in metrics["model"]]
    if not names:
        return ""
    head = "".join(f'<th scope="col">{escape(MODELS[name])}</th>' for name in models)
    body = "\n".join(
        f'<tr><th scope="row">{METRICS[name][0]}<span class="hint">{escape(METRICS[name][1])}</span></th>'
        + "".join(f"<td>{_number(metrics[model].get(name))}</td>" for model in models)
        + "</tr>"
        for name in names
    )
    rows = metrics.get("rows")
    caption = f"On {rows:,} rows it had not seen" if isinstance(rows, int) else "On rows it had not seen"
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr><td></td>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n"
    )


def _number(value: Any) -> str:
    """A metric with three digits that count."""
    if not isinstance(value, int | float):
        return "none"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"

"""Compare the predictions of two models on the same rows: how often and how far they differ, and which is better."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skline.contract.spec import class_name
from skline.reporting.format import format_interval, format_number

#: Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054
#: A prediction with the probabilities by class name, which are None for a regression.
Prediction = tuple[Any, Mapping[str, float] | None]


def compare_predictions(
    champion: Sequence[Prediction], challenger: Sequence[Prediction], labels: Sequence[Any]
) -> dict[str, Any]:
    """Compare the predictions of two models, row by row; a label is None where the truth is unknown.

    Returns
    -------
    rows, agreement (share of equal predictions), score_difference (challenger less champion: mean, mean_absolute,
    p95_absolute, max_absolute); with two or more labels `labelled`: rows, kpi, champion, challenger (means), and
    difference with its 95 % interval, paired by row and normal.
    """
    champion_scores = np.array([score_of(*prediction) for prediction in champion])
    challenger_scores = np.array([score_of(*prediction) for prediction in challenger])
    distances = np.abs(challenger_scores - champion_scores)
    result: dict[str, Any] = {
        "rows": len(champion_scores),
        "agreement": float(np.mean([a[0] == b[0] for a, b in zip(champion, challenger, strict=True)])),
        "score_difference": {
            "mean": float(np.mean(challenger_scores - champion_scores)),
            "mean_absolute": float(np.mean(distances)),
            "p95_absolute": float(np.quantile(distances, 0.95)),
            "max_absolute": float(np.max(distances)),
        },
        "labelled": None,
    }
    labelled = [index for index, label in enumerate(labels) if label is not None]
    if len(labelled) > 1:
        kpi = "absolute_error" if champion[0][1] is None else "brier"
        champion_kpis = np.array([kpi_of(kpi, *champion[index], labels[index]) for index in labelled])
        challenger_kpis = np.array([kpi_of(kpi, *challenger[index], labels[index]) for index in labelled])
        differences = challenger_kpis - champion_kpis
        half_width = Z95 * float(np.std(differences, ddof=1)) / math.sqrt(len(labelled))
        mean = float(np.mean(differences))
        result["labelled"] = {
            "rows": len(labelled),
            "kpi": kpi,
            "champion": float(np.mean(champion_kpis)),
            "challenger": float(np.mean(challenger_kpis)),
            "difference": mean,
            "interval": [mean - half_width, mean + half_width],
        }
    return result


def format_comparison(comparison: Mapping[str, Any]) -> list[str]:
    """Return the result of `compare_predictions` as lines of text."""
    scores = comparison["score_difference"]
    mean = format_number(scores["mean"], signed=True)
    lines = [
        f"{comparison['rows']:,} rows; the same prediction on {comparison['agreement']:.1%}",
        f"scores differ by {mean} on average, by {format_number(scores['mean_absolute'])} in absolute value,",
        (
            f"by {format_number(scores['p95_absolute'])} at the 95th percentile, and by "
            f"{format_number(scores['max_absolute'])} at most"
        ),
    ]
    labelled = comparison["labelled"]
    if labelled is None:
        return [*lines, "which model is better is unknown: fewer than two of the rows have a label"]
    low, high = labelled["interval"]
    if high < 0:
        conclusion = "the challenger is better"
    elif low > 0:
        conclusion = "the champion is better"
    else:
        conclusion = "no difference is shown"
    difference = (
        f"{format_number(labelled['difference'], signed=True)} (95 % {format_interval(low, high, signed=True)})"
    )
    return [
        *lines,
        (
            f"{labelled['kpi']} on {labelled['rows']:,} labelled rows: champion "
            f"{format_number(labelled['champion'])}, challenger {format_number(labelled['challenger'])}"
        ),
        f"challenger less champion {difference}: {conclusion}",
    ]


def score_of(prediction: Any, probabilities: Mapping[str, float] | None) -> float:
    """Return a logged prediction as one number.

    It is the probability of the second of two classes, the largest probability of more classes, or the predicted value.
    """
    if probabilities is None:
        return float(prediction)
    values = list(probabilities.values())
    return float(values[1] if len(values) == 2 else max(values))


def kpi_of(kpi: str, prediction: Any, probabilities: Mapping[str, float] | None, label: Any) -> float:
    """Return the value of one labelled prediction that an A/B test averages.

    `brier` is the squared error of the probabilities: of the second of two classes, summed over more (Brier 1950).
    """
    match kpi:
        case "label":
            return float(label)
        case "correct":
            return float(prediction == label)
        case "absolute_error":
            return abs(float(prediction) - float(label))
        case "squared_error":
            return (float(prediction) - float(label)) ** 2
        case _:
            truth = class_name(label)
            errors = [(probability - (name == truth)) ** 2 for name, probability in (probabilities or {}).items()]
            return errors[1] if len(errors) == 2 else sum(errors)

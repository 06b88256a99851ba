"""Two models on the same rows: how often they disagree, how far, and who is right where the truth is known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.numbers import interval, short

Array = npt.NDArray[np.float64]
#: The normal distribution's two-sided 95 %.
Z95 = 1.959963984540054


def score_of(prediction: Any, probabilities: Mapping[str, float] | None) -> float:
    """A logged answer as a number: probability of the second of two classes, of the class among more, or the value."""
    if probabilities is None:
        return float(prediction)
    chances = list(probabilities.values())
    return float(chances[1] if len(chances) == 2 else max(chances))


def kpi_of(kpi: str, prediction: Any, probabilities: Mapping[str, float] | None, label: Any) -> float:
    """What an A/B test averages of one labelled answer.

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
            named = probabilities or {}
            truth = str(label).lower() if isinstance(label, bool) else str(label)
            errors = [(chance - (name == truth)) ** 2 for name, chance in named.items()]
            return errors[1] if len(errors) == 2 else sum(errors)


def compare(
    champion: Sequence[tuple[Any, Mapping[str, float] | None]],
    challenger: Sequence[tuple[Any, Mapping[str, float] | None]],
    labels: Sequence[Any],
) -> dict[str, Any]:
    """Compare the answers of two models, row by row; a label is None where the truth is not known.

    Returns
    -------
    rows, agreement (share of equal predictions), score_difference (challenger less champion: mean, mean_absolute,
    p95_absolute, max_absolute); with two or more labels `labelled`: rows, kpi, champion, challenger (means), and
    difference with its 95 % interval, paired by row and normal.
    """
    own = np.array([score_of(*answer) for answer in champion])
    other = np.array([score_of(*answer) for answer in challenger])
    apart = np.abs(other - own)
    found: dict[str, Any] = {
        "rows": len(own),
        "agreement": float(np.mean([a[0] == b[0] for a, b in zip(champion, challenger, strict=True)])),
        "score_difference": {
            "mean": float(np.mean(other - own)),
            "mean_absolute": float(np.mean(apart)),
            "p95_absolute": float(np.quantile(apart, 0.95)),
            "max_absolute": float(np.max(apart)),
        },
        "labelled": None,
    }
    known = [index for index, label in enumerate(labels) if label is not None]
    if len(known) > 1:
        kpi = "absolute_error" if champion[0][1] is None else "brier"
        mine = np.array([kpi_of(kpi, *champion[index], labels[index]) for index in known])
        theirs = np.array([kpi_of(kpi, *challenger[index], labels[index]) for index in known])
        difference = theirs - mine
        half = Z95 * float(np.std(difference, ddof=1)) / math.sqrt(len(known))
        mean = float(np.mean(difference))
        found["labelled"] = {
            "rows": len(known),
            "kpi": kpi,
            "champion": float(np.mean(mine)),
            "challenger": float(np.mean(theirs)),
            "difference": mean,
            "interval": [mean - half, mean + half],
        }
    return found


def in_words(found: Mapping[str, Any]) -> list[str]:
    """A comparison for people."""
    apart = found["score_difference"]
    mean = short(apart["mean"], signed=True)
    lines = [
        f"{found['rows']:,} rows; the same prediction on {found['agreement']:.1%}",
        f"scores differ by {mean} on average, {short(apart['mean_absolute'])} without regard to sign",
        f"and by {short(apart['p95_absolute'])} at the 95th percentile, {short(apart['max_absolute'])} at most",
    ]
    known = found["labelled"]
    if known is None:
        return [*lines, "nothing can be said about who is right: fewer than two of the rows have a label"]
    low, high = known["interval"]
    verdict = (
        "the challenger is better" if high < 0 else "the champion is better" if low > 0 else "no difference is shown"
    )
    both = f"{short(known['champion'])} and {short(known['challenger'])}"
    difference = f"{short(known['difference'], signed=True)} (95 % {interval(low, high, signed=True)})"
    return [
        *lines,
        f"{known['kpi']} on {known['rows']:,} labelled rows: {both}",
        f"challenger less champion {difference}: {verdict}",
    ]

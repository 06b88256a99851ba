"""A lender whose model decides which labels are seen: each generation is trained on what the earlier ones let in.

Applicants have five columns, and something that only the officer sees. The model in service refuses the half with the
highest predicted risk; of the others the officer refuses those about whom he knows something bad. Only those who get a
loan show whether they repay it. In addition a random share gets a loan whatever model and officer say: the review
sample. The risk moves a little from generation to generation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline

from skline.contract.spec import Column, Contract
from skline.row_weights import effective_rows, normalize, selection_weights
from skline.stages.train import train
from skline.tuning.tune import tune

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

COLUMNS = tuple(f"x{number}" for number in range(5))
CONTRACT = Contract(
    title="Loans",
    columns=(
        *(Column(name=name, kind="number") for name in COLUMNS),
        Column(name="default", kind="boolean", role="target"),
    ),
    task="binary",
    classes=(False, True),
)
#: Rows of the table of the beginning, applicants of a generation, and applicants that a model is judged on.
HISTORY, APPLICANTS, TEST_APPLICANTS = 3_000, 10_000, 5_000
#: Share that the model refuses; from which value of the hidden column on the officer refuses; share drawn at random.
REFUSED, VETO, DRAWN = 0.5, 0.0, 0.1
#: Weight of the hidden column in the log-odds of a default, and how far the coefficients turn in a generation.
HIDDEN, TURN = 1.2, 0.15


class Applicants(NamedTuple):
    """The applicants of a generation: their columns, what only the officer sees, and whether they would default."""

    rows: pd.DataFrame
    hidden: Floats

    @property
    def default(self) -> Flags:
        """Whether each applicant would not repay."""
        return self.rows["default"].to_numpy(dtype=np.bool_)


def draw(random: np.random.Generator, generation: int, count: int) -> Applicants:
    """Draw the applicants of a generation."""
    x, hidden = random.normal(size=(count, len(COLUMNS))), random.normal(size=count)
    angle = TURN * generation
    slope = np.cos(angle) * x[:, 0] + np.sin(angle) * x[:, 1]
    log_odds = -1 + 1.2 * slope + 0.8 * x[:, 2] * (x[:, 3] > 0) + HIDDEN * hidden
    default = random.random(count) < 1 / (1 + np.exp(-log_odds))
    return Applicants(pd.DataFrame(dict(zip(COLUMNS, x.T, strict=True))).assign(default=default), hidden)


@dataclass(frozen=True)
class Labels:
    """The labelled rows of a generation, and which of them are of the review sample.

    `inclusion` is the probability of a row of the sample, NaN for others.
    """

    rows: pd.DataFrame
    selected: Flags
    inclusion: Floats


#: Chooses rows and weights of the labels of all generations: weight 0 leaves a row out.
Policy = Callable[[Flags, Floats], Floats]


def as_they_are(selected: Flags, _: Floats) -> Floats:
    """Use all labels alike."""
    return np.ones(len(selected))


def without_sample(selected: Flags, _: Floats) -> Floats:
    """Use the labels that the decisions let in."""
    return selected.astype(np.float64)


POLICIES: dict[str, Policy | None] = {
    "never trained again": None,
    "labels of those who got a loan": without_sample,
    "these and the review sample, as they are": as_they_are,
    "`train.weights.selection`": selection_weights,
    "all labels (nobody has them)": as_they_are,
}
EVERYBODY = "all labels (nobody has them)"


class Quality(NamedTuple):
    """A model on all applicants of the next generation.

    Attributes
    ----------
    roc_auc, brier : float
    gap : float
        Mean predicted probability of a default less the share that defaults.
    effective : float
        Effective number of rows that it was fitted on.
    """

    roc_auc: float
    brier: float
    gap: float
    effective: float


def fit(rows: pd.DataFrame, weights: Floats, seed: int) -> Pipeline:
    """Fit and calibrate on rows of a weight above 0, by the functions of the stages train and tune."""
    random = np.random.default_rng(seed)
    used = weights > 0
    is_validation = random.random(len(rows)) < 0.2
    parts = [used & ~is_validation, used & is_validation]
    (train_rows, tune_rows), (train_weights, tune_weights) = (
        [rows[part] for part in parts],
        [normalize(weights[part]) for part in parts],
    )

    def build(_: Contract) -> Pipeline:
        model = HistGradientBoostingClassifier(max_iter=40, learning_rate=0.15, max_leaf_nodes=8, min_samples_leaf=30)
        return Pipeline([("model", model)])

    fitted = train(train_rows, CONTRACT, build, {}, seed, train_weights)
    return tune(fitted, tune_rows, CONTRACT, method="auto", threshold=0.5, level=0.9, seed=seed, weights=tune_weights)[
        0
    ]


def risk(model: Pipeline, applicants: Applicants) -> Floats:
    """Return the predicted probability of a default."""
    probabilities: Floats = model.predict_proba(applicants.rows[list(COLUMNS)])[:, 1]
    return probabilities


def decide(random: np.random.Generator, model: Pipeline, applicants: Applicants, *, everybody: bool) -> Labels:
    """Decide who gets a loan, and return the labels of these."""
    predicted = risk(model, applicants)
    count = len(predicted)
    accepted = (predicted <= np.quantile(predicted, 1 - REFUSED)) & (applicants.hidden < VETO)
    drawn = random.random(count) < DRAWN
    labelled = np.ones(count, dtype=np.bool_) if everybody else accepted | drawn
    inclusion = np.where(drawn, drawn.mean(), np.nan)
    return Labels(applicants.rows[labelled], ~drawn[labelled], inclusion[labelled])


def live(policy: str, seed: int, generations: int) -> list[Quality]:
    """Return the quality of a policy's model for the applicants of each generation; all policies see the same ones."""
    choose, random = POLICIES[policy], np.random.default_rng([seed, 1])
    history = draw(np.random.default_rng([seed, 0]), 0, HISTORY).rows  # before there was a model, all got a loan
    model, effective = fit(history, np.ones(len(history)), seed), float(len(history))
    labels: list[Labels] = []
    qualities = []
    for generation in range(1, generations + 1):
        test = draw(np.random.default_rng([seed, 2, generation]), generation, TEST_APPLICANTS)
        qualities.append(judge(model, test, effective))
        if choose is None:
            continue
        applicants = draw(np.random.default_rng([seed, 3, generation]), generation, APPLICANTS)
        labels.append(decide(random, model, applicants, everybody=policy == EVERYBODY))
        selected, inclusion = (np.concatenate([getattr(each, name) for each in labels]) for name in FIELDS)
        weights = np.concatenate([np.ones(len(history)), choose(selected, inclusion)])
        model = fit(pd.concat([history, *(each.rows for each in labels)], ignore_index=True), weights, seed)
        effective = effective_rows(weights)
    return qualities


FIELDS = ("selected", "inclusion")


def judge(model: Pipeline, test: Applicants, effective: float) -> Quality:
    """Return the quality of a model on all applicants, with a loan or without."""
    predicted = risk(model, test)
    return Quality(
        float(roc_auc_score(test.default, predicted)),
        float(brier_score_loss(test.default, predicted)),
        float(predicted.mean() - test.default.mean()),
        effective,
    )

"""The estimators that `skline init` can write, each with the preprocessing that it needs, as lines of Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Task
from skline.init.codegen.libraries import LIBRARIES, library_class, render_library_model

Family = Literal["boosting", "linear", "forest", "lightgbm", "xgboost", "catboost"]
#: The values of `skline init --estimator`, and the families that they mean.
FAMILIES: dict[str, Family] = {
    "boosting": "boosting",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "random_forest": "forest",
    "linear": "linear",
}
#: The feature groups that a default pipeline supports, in the order of its columns.
GROUPS = ("category", "many_categories", "text", "date", "datetime", "boolean", "number")
#: Boosting stops early by the score on a held-out tenth of the rows only if there are more rows than this: a smaller
#: tenth is too noisy, and is needed for training.
EARLY_STOPPING_MIN_ROWS = 1_000


@dataclass(frozen=True)
class TargetSummary:
    """What the default estimator depends on besides the contract.

    Attributes
    ----------
    rows : int
        The number of labelled rows.
    skewed : bool
        Whether the target of a regression is never negative and has a long right tail, so that errors are better
        measured relative to the expected value.
    """

    rows: int = 0
    skewed: bool = False

    @classmethod
    def from_values(cls, target: Sequence[float] | npt.NDArray[np.float64], task: Task) -> "TargetSummary":
        """Summarize the target's values, of shape (n_rows,); missing ones are ignored."""
        if task != "regression":
            return cls(rows=sum(value is not None and value == value for value in target))  # noqa: PLR0124
        values = np.asarray(target, dtype=np.float64)
        values = values[~np.isnan(values)]
        return cls(rows=len(values), skewed=_skewed(values))


def _skewed(values: npt.NDArray[np.float64]) -> bool:
    """Whether no value is negative and the third standardized moment is above 2."""
    spread = values.std() if len(values) else 0.0
    if not spread or values.min() < 0:
        return False
    return bool((((values - values.mean()) / spread) ** 3).mean() > 2)


@dataclass(frozen=True)
class Estimator:
    """An estimator and its main settings.

    Attributes
    ----------
    family : {"boosting", "linear", "forest", "lightgbm", "xgboost", "catboost"}
        "boosting" is scikit-learn's; the last three are libraries.
    early_stopping : bool
        Boosting only, of any library: many trees of the usual size, until the score on a held-out tenth no longer
        improves; otherwise a hundred small trees with a low learning rate.
    poisson : bool
        Boosting only: whether the errors of a regression are measured relative to the expected value.
    days : bool
        Whether the number of the day is an input. Trees cannot extrapolate it beyond the training rows.
    """

    family: Family = "boosting"
    early_stopping: bool = True
    poisson: bool = False
    days: bool = True

    @property
    def is_boosting(self) -> bool:
        """Whether it is gradient boosting, of any library."""
        return self.family == "boosting" or self.family in LIBRARIES

    def describe(self) -> str:
        """Return the estimator as a phrase, for people."""
        settings = []
        if self.is_boosting:
            settings += ["early stopping" if self.early_stopping else "small trees"]
            settings += ["Poisson loss"] if self.poisson else []
        settings += [] if self.days else ["without trends"]
        return ", ".join([self.family, *settings])


BOOSTING = Estimator()


def default_estimator(summary: TargetSummary, task: Task, family: Family = "boosting") -> Estimator:
    """Return the estimator of a family that suits the number of rows and the target, where nothing is measured."""
    if family in ("linear", "forest"):
        return Estimator(family)
    return Estimator(
        family, early_stopping=summary.rows > EARLY_STOPPING_MIN_ROWS, poisson=task == "regression" and summary.skewed
    )


TREE_STEPS = {
    "category": "encoder",
    "many_categories": 'TargetEncoder(target_type="{target}", cv=folds)',
    "text": "TextFeatures()",
    "date": "TimeFeatures(parts=({parts}))",
    "datetime": "TimeFeatures(parts=({parts}))",
    "boolean": "encoder",
    "number": '"passthrough"',
}
LINEAR_STEPS = {
    "category": 'OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5)',
    "many_categories": 'make_pipeline(TargetEncoder(target_type="{target}", cv=folds), StandardScaler())',
    "text": 'make_pipeline(TextFeatures(n_components=100), SimpleImputer(strategy="constant", fill_value=0))',
    "date": 'make_pipeline(TimeFeatures(({parts}), "cyclic"), scaled)',
    "datetime": 'make_pipeline(TimeFeatures(({parts}), "cyclic"), scaled)',
    "boolean": 'OneHotEncoder(handle_unknown="ignore")',
    "number": "scaled",
}
#: Parts of a date and of a datetime; a linear model does not take the day of the month, whose effect is not linear.
PARTS = {"date": ("month", "day", "weekday", "days"), "datetime": ("month", "day", "weekday", "hour", "days")}
TARGETS = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}

#: Notes of the docstring, by feature group; "" is for all.
TREE_NOTES = {
    "": "Missing values need no imputation: the trees learn which branch they follow.",
    "category": (
        "Categories come first, so that the estimator can refer to them by position. A category that is not in the "
        "training part counts as missing."
    ),
    "many_categories": (
        "A column of many categories becomes the mean of the target in each category, computed out of fold during "
        "fitting, and shrunk towards the overall mean if a category has few rows."
    ),
    "text": "A text column becomes 30 numbers, computed from its character n-grams.",
}
LINEAR_NOTES = {
    "": "Missing numbers become the mean, and all numbers get the same scale, so that the penalty treats them alike.",
    "category": "A category that is rare, or is not in the training part, counts as one of the rare ones.",
    "many_categories": TREE_NOTES["many_categories"],
    "text": "A text column becomes 100 numbers, computed from its character n-grams.",
}
FOREST_NOTES = TREE_NOTES | {"category": "A category that is not in the training part counts as missing."}
LIBRARY_NOTES = TREE_NOTES | {
    "category": (
        "Categories come first: the library splits on them as sets. A category that is not in the training part counts "
        "as missing."
    )
}
NOTES: dict[Family, dict[str, str]] = {
    "boosting": TREE_NOTES,
    "linear": LINEAR_NOTES,
    "forest": FOREST_NOTES,
    "lightgbm": LIBRARY_NOTES,
    "xgboost": LIBRARY_NOTES,
    "catboost": TREE_NOTES | {"category": "A category that is not in the training part is in none of the columns."},
}
#: CatBoost's own treatment of categories has no plan.
CATBOOST_STEPS = TREE_STEPS | {"category": 'OneHotEncoder(handle_unknown="ignore", sparse_output=False)'}

SMALL_TREES = (
    "learning_rate=0.05",
    "max_leaf_nodes=15",
    "min_samples_leaf=10",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=False",
)
EARLY_STOPPING = (
    "max_iter=500,  # upper limit: training stops early, by the score on a held-out tenth of the rows",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=True",
)


def column_order(estimator: Estimator, used: Sequence[str]) -> list[str]:
    """Return feature groups in the order of the pipeline's columns: for a library, numbers follow the categories."""
    if estimator.family not in LIBRARIES:
        return list(used)
    first = [group for group in ("category", "number") if group in used]
    return [*first, *(group for group in used if group not in first)]


def render_step(estimator: Estimator, group: str, task: Task) -> str:
    """Return the expression of the transformer of a feature group."""
    linear = estimator.family == "linear"
    steps = LINEAR_STEPS if linear else CATBOOST_STEPS if estimator.family == "catboost" else TREE_STEPS
    skipped = {"day"} if linear else set()
    skipped |= set() if estimator.days else {"days"}
    parts = ", ".join(f'"{part}"' for part in PARTS.get(group, ()) if part not in skipped)
    return steps[group].format(target=TARGETS[task], parts=parts)


def render_model(estimator: Estimator, used: Sequence[str], task: Task) -> list[str]:
    """Return the statement that creates the estimator, as lines."""
    if estimator.family in LIBRARIES:
        return render_library_model(
            estimator.family, used, task, early_stopping=estimator.early_stopping, poisson=estimator.poisson
        )
    name = class_name(estimator, task)
    if estimator.family == "linear":
        penalty = "alphas=np.logspace(-2, 4, 13)" if task == "regression" else "max_iter=1000"
        return [f"    model = {name}({penalty})"]
    if estimator.family == "forest":
        share = "1 / 3" if task == "regression" else '"sqrt"'
        return [f"    model = {name}(n_estimators=200, min_samples_leaf=2, max_features={share})"]
    settings: list[str] = []
    settings += ['categorical_features=list(range(len(groups["category"])))'] if "category" in used else []
    settings += ['loss="poisson"'] if estimator.poisson else []
    settings += [*(EARLY_STOPPING if estimator.early_stopping else SMALL_TREES)]
    lines = [f"        {setting}" if "#" in setting else f"        {setting}," for setting in settings]
    return [f"    model = {name}(", *lines, "    )"]


def class_name(estimator: Estimator, task: Task) -> str:
    """Return the class of the estimator."""
    if estimator.family in LIBRARIES:
        return library_class(estimator.family, task)
    kind = "Regressor" if task == "regression" else "Classifier"
    match estimator.family:
        case "linear":
            return "RidgeCV" if task == "regression" else "LogisticRegression"
        case "forest":
            return f"RandomForest{kind}"
        case _:
            return f"HistGradientBoosting{kind}"

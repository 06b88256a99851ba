"""Render src/model/pipeline.py for a contract: a short file that the user edits from then on."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Contract, Task
from skline.errors import SklineError

#: The feature groups that a default pipeline supports, in the order of its columns.
GROUPS = ("category", "many_categories", "text", "date", "datetime", "boolean", "number")


@dataclass(frozen=True)
class TargetSummary:
    """What the pipeline depends on besides the contract.

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
    def from_values(cls, target: npt.NDArray[np.float64] | Iterable[float], task: Task) -> "TargetSummary":
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


#: Boosting stops early by the score on a held-out tenth of the rows only if there are more rows than this: a smaller
#: tenth is too noisy, and is needed for training.
EARLY_STOPPING_MIN_ROWS = 1_000
SMALL_TABLE_SETTINGS = (
    "learning_rate=0.05",
    "max_leaf_nodes=15",
    "min_samples_leaf=10",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=False",
)
LARGE_TABLE_SETTINGS = (
    "max_iter=500,  # upper limit: training stops early, by the score on a held-out tenth of the rows",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=True",
)

HEAD = '''"""The model: preprocessing and estimator in one Pipeline, so that training and serving cannot differ.

Written by `skline init`; edit it as you like. Parameters can also be set in `train.params` of params.yaml, as
step__parameter: value.
"""
'''

NOTES = {
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

SKEWED_NOTE = "The target has a long right tail, so errors are measured relative to the expected value (Poisson loss)."

ENCODER = """\
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=254,  # the limit of the estimator
        dtype=np.float64,
    )"""

#: Class to import → the groups that need it. Booleans are encoded because a frame of nullable and other boolean columns
#: would become an object array.
ENCODERS = {"OrdinalEncoder": {"category", "boolean"}, "TargetEncoder": {"many_categories"}}
FEATURES = {"TextFeatures": {"text"}, "TimeFeatures": {"date", "datetime"}}
STEPS = {
    "category": "encoder",
    "many_categories": 'TargetEncoder(target_type="{target}", cv=folds)',
    "text": "TextFeatures()",
    "date": 'TimeFeatures(parts=("month", "day", "weekday", "days"))',
    "datetime": 'TimeFeatures(parts=("month", "day", "weekday", "hour", "days"))',
    "boolean": "encoder",
    "number": '"passthrough"',
}
TARGETS = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}


def render_pipeline(contract: Contract, summary: TargetSummary = TargetSummary()) -> str:
    """Return the formatted text of src/model/pipeline.py for the contract's task and feature groups.

    Parameters
    ----------
    contract : Contract
        The feature groups of its inputs must be in `GROUPS`.
    summary : TargetSummary

    Raises
    ------
    SklineError
        If there is no input, or one is in an unsupported feature group.
    """
    groups = contract.feature_groups()
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown or not groups:
        problem = f"the unsupported feature groups {', '.join(unknown)}" if unknown else "no inputs"
        raise SklineError(f"the contract has {problem}; a default pipeline supports {', '.join(GROUPS)}")
    used = [group for group in GROUPS if group in groups]
    parts = [HEAD, _imports(used, contract.task), "", "", _function(used, contract.task, summary)]
    return "\n".join(parts) + "\n"


def _imports(used: list[str], task: Task) -> str:
    """Render the imports, in the order of ruff."""
    groups = set(used)
    encoders = [name for name, needs in ENCODERS.items() if groups & needs]
    features = [name for name, needs in FEATURES.items() if groups & needs]
    lines = ["import numpy as np"] if "OrdinalEncoder" in encoders else []
    lines += ["from sklearn.compose import ColumnTransformer", f"from sklearn.ensemble import {_estimator(task)}"]
    if "TargetEncoder" in encoders:
        lines.append("from sklearn.model_selection import KFold")
    lines.append("from sklearn.pipeline import Pipeline")
    if encoders:
        lines.append(f"from sklearn.preprocessing import {', '.join(encoders)}")
    lines += ["", "from skline.contract.spec import Contract"]
    if features:
        lines.append(f"from skline.features import {', '.join(features)}")
    return "\n".join(lines)


def _function(used: list[str], task: Task, summary: TargetSummary) -> str:
    """Render the function `build_pipeline`."""
    notes = [text for group, text in NOTES.items() if group in ("", *used)]
    if task == "regression" and summary.skewed:
        notes.append(SKEWED_NOTE)
    lines = [
        "def build_pipeline(contract: Contract) -> Pipeline:",
        '    """Build the unfitted pipeline for the contract\'s inputs.',
        "",
        textwrap.fill(" ".join(notes), 116, initial_indent="    ", subsequent_indent="    "),
        '    """',
        "    groups = contract.feature_groups()",
    ]
    if ENCODERS["OrdinalEncoder"] & set(used):
        lines.append(ENCODER)
    if "many_categories" in used:
        lines.append("    folds = KFold(5, shuffle=True, random_state=0)")
    lines += ["    columns = ColumnTransformer(", "        ["]
    for group in used:
        lines.append(f'            ("{group}", {STEPS[group].format(target=TARGETS[task])}, groups["{group}"]),')
    lines += ["        ]", "    )", *_model(used, task, summary)]
    lines.append('    return Pipeline([("columns", columns), ("model", model)])')
    return "\n".join(lines)


def _model(used: list[str], task: Task, summary: TargetSummary) -> list[str]:
    """Render the statement that creates the estimator."""
    settings = ['categorical_features=list(range(len(groups["category"])))'] if "category" in used else []
    if task == "regression" and summary.skewed:
        settings.append('loss="poisson"')
    settings += LARGE_TABLE_SETTINGS if summary.rows > EARLY_STOPPING_MIN_ROWS else SMALL_TABLE_SETTINGS
    lines = [f"        {setting}" if "#" in setting else f"        {setting}," for setting in settings]
    return [f"    model = {_estimator(task)}(", *lines, "    )"]


def _estimator(task: Task) -> str:
    return "HistGradientBoostingRegressor" if task == "regression" else "HistGradientBoostingClassifier"

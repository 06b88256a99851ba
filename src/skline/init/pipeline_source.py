"""The text of `src/model/pipeline.py` for a contract: short, and the user's own from then on."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Contract, Task
from skline.errors import SklineError

#: Feature groups that a default pipeline knows, in the order of its columns.
GROUPS = ("category", "many_categories", "text", "date", "datetime", "boolean", "number")


@dataclass(frozen=True)
class TargetFacts:
    """What the pipeline must know of the labelled rows, and no contract tells.

    `rows` is how many there are. `skewed` says that a regression's target is never negative and has a long
    right tail, so that errors are better measured relative to what is expected.
    """

    rows: int = 0
    skewed: bool = False

    @classmethod
    def of(cls, target: npt.NDArray[np.float64] | Iterable[float], task: Task) -> "TargetFacts":
        """Read the facts off the target's values, of shape (n_rows,); missing ones do not count."""
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


#: Rows above which boosting stops by a held-out tenth; below, that tenth tells too little, and is needed to learn.
MANY_ROWS = 1_000
FEW = (
    "learning_rate=0.05",
    "max_leaf_nodes=15",
    "min_samples_leaf=10",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=False",
)
MANY = (
    "max_iter=500,  # at most: a tenth of the rows tells when to stop",
    "max_features=0.5",
    "l2_regularization=1.0",
    "early_stopping=True",
)

HEAD = '''"""The model: preprocessing and estimator in ONE Pipeline, so that training and serving cannot differ.

Written by `skline init`, and yours from here on. Parameters can also be set from `train.params` in params.yaml,
as step__parameter: value.
"""
'''

NOTES = {
    "": "Missing values need no step: the trees learn a side for them.",
    "category": (
        "Categories come first, so that the estimator knows them by position. One that training never saw counts as "
        "missing."
    ),
    "many_categories": (
        "A column of many categories becomes the target's mean in each, computed out of fold while fitting and drawn "
        "towards the overall mean where rows are few."
    ),
    "text": "Text becomes 30 numbers a column, by the fragments of words in it.",
}

SKEWED_NOTE = "The target has a long right tail, so errors count relative to what is expected (Poisson loss)."

ENCODER = """\
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=254,  # the estimator takes no more
        dtype=np.float64,
    )"""

#: What to import for which groups. Booleans are encoded because a frame of some that may be missing and others that
#: may not would become an object array.
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


def pipeline_source(contract: Contract, facts: TargetFacts = TargetFacts()) -> str:
    """Write `src/model/pipeline.py`, formatted, for the contract's task and feature groups.

    Parameters
    ----------
    contract : Contract
        Its inputs may be in the groups "number", "boolean", "category", "many_categories", "text", "date" and
        "datetime".
    facts : TargetFacts

    Raises
    ------
    SklineError
        If there is no input, or one is in a group that no default pipeline knows.
    """
    groups = contract.feature_groups()
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown or not groups:
        found = f"the feature groups {', '.join(unknown)}" if unknown else "no inputs"
        raise SklineError(f"the contract has {found}; a default pipeline is written for {', '.join(GROUPS)}")
    used = [group for group in GROUPS if group in groups]
    parts = [HEAD, _imports(used, contract.task), "", "", _function(used, contract.task, facts)]
    return "\n".join(parts) + "\n"


def _imports(used: list[str], task: Task) -> str:
    """The import block, sorted as ruff sorts it."""
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


def _function(used: list[str], task: Task, facts: TargetFacts) -> str:
    """`build_pipeline`."""
    notes = [text for group, text in NOTES.items() if group in ("", *used)]
    if task == "regression" and facts.skewed:
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
    lines += ["        ]", "    )", *_model(used, task, facts)]
    lines.append('    return Pipeline([("columns", columns), ("model", model)])')
    return "\n".join(lines)


def _model(used: list[str], task: Task, facts: TargetFacts) -> list[str]:
    """The statement that makes the estimator."""
    settings = ['categorical_features=list(range(len(groups["category"])))'] if "category" in used else []
    if task == "regression" and facts.skewed:
        settings.append('loss="poisson"')
    settings += MANY if facts.rows > MANY_ROWS else FEW
    lines = [f"        {setting}" if "#" in setting else f"        {setting}," for setting in settings]
    return [f"    model = {_estimator(task)}(", *lines, "    )"]


def _estimator(task: Task) -> str:
    return "HistGradientBoostingRegressor" if task == "regression" else "HistGradientBoostingClassifier"

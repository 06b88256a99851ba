"""Render src/model/pipeline.py for a contract: a short file that the user edits from then on."""

import re
import textwrap

from skline.contract.spec import Contract, Task
from skline.errors import SklineError
from skline.init.codegen.estimators import (
    BOOSTING,
    GROUPS,
    NOTES,
    Estimator,
    class_name,
    column_order,
    render_model,
    render_step,
)
from skline.init.codegen.libraries import LIBRARIES, MONOTONE, takes_monotone

HEAD = '''"""The model: preprocessing and estimator in one Pipeline, so that training and serving cannot differ.

Written by `skline init`; edit it as you like. Parameters can also be set in `train.params` of params.yaml, as
step__parameter: value.
"""
'''

POISSON_NOTE = "The target has a long right tail, so errors are measured relative to the expected value (Poisson loss)."
TREND_NOTE = "The number of the day is no input: rows that come later lie beyond all days of the training part."

ENCODER = """\
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        dtype=np.float64,
    )"""
LIMITED_ENCODER = ENCODER.replace(
    "        dtype", "        max_categories=254,  # the limit of the estimator\n        dtype"
)
SCALED = "    scaled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())"
FOLDS = "    folds = KFold(5, shuffle=True, random_state=0)"

#: Module → the classes and functions that a pipeline may need of it, in the order of ruff; the estimator's is added.
IMPORTS = {
    "catboost": [],
    "lightgbm": [],
    "sklearn.compose": ["ColumnTransformer"],
    "sklearn.ensemble": [],
    "sklearn.impute": ["SimpleImputer"],
    "sklearn.linear_model": [],
    "sklearn.model_selection": ["KFold"],
    "sklearn.pipeline": ["Pipeline", "make_pipeline"],
    "sklearn.preprocessing": ["OneHotEncoder", "OrdinalEncoder", "StandardScaler", "TargetEncoder"],
    "xgboost": [],
}
#: Longest line that the formatter of the project leaves.
MAX_LINE = 120
FEATURES = ["BoostingClassifier", "BoostingRegressor", "TextFeatures", "TimeFeatures"]


def render_pipeline(contract: Contract, estimator: Estimator = BOOSTING) -> str:
    """Return the formatted text of src/model/pipeline.py for the contract's task and feature groups.

    Parameters
    ----------
    contract : Contract
        The feature groups of its inputs must be in `skline.init.codegen.estimators.GROUPS`.
    estimator : Estimator

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
    body = _function(used, contract.task, estimator)
    constrains = estimator.family in LIBRARIES and takes_monotone(estimator.family, used, contract.task)
    constants = ["", MONOTONE] if constrains else [""]
    return "\n".join([HEAD, _imports(body, estimator, contract.task), *constants, "", body]) + "\n"


def _imports(body: str, estimator: Estimator, task: Task) -> str:
    """Render the imports of the names that the function uses, in the order of ruff."""
    used = set(re.findall(r"\w+", body))
    estimator_class = class_name(estimator, task)
    estimator_module = "sklearn.linear_model" if estimator.family == "linear" else "sklearn.ensemble"
    if estimator.family in LIBRARIES:
        estimator_module = estimator.family
    lines = ["import numpy as np"] if "np" in used else []
    for module, names in IMPORTS.items():
        available = [*names, estimator_class] if module == estimator_module else names
        needed = [name for name in available if name in used]
        lines += [f"from {module} import {', '.join(needed)}"] if needed else []
    lines += ["", "from skline.contract.spec import Contract"]
    features = [name for name in FEATURES if name in used]
    lines += [f"from skline.features import {', '.join(features)}"] if features else []
    return "\n".join(lines)


def _function(used: list[str], task: Task, estimator: Estimator) -> str:
    """Render the function `build_pipeline`."""
    notes = [text for group, text in NOTES[estimator.family].items() if group in ("", *used)]
    notes += [POISSON_NOTE] if estimator.poisson and estimator.is_boosting else []
    notes += [TREND_NOTE] if not estimator.days and {"date", "datetime"} & set(used) else []
    lines = [
        "def build_pipeline(contract: Contract) -> Pipeline:",
        '    """Build the unfitted pipeline for the contract\'s inputs.',
        "",
        textwrap.fill(" ".join(notes), 116, initial_indent="    ", subsequent_indent="    "),
        '    """',
        "    groups = contract.feature_groups()",
    ]
    steps = {group: render_step(estimator, group, task) for group in column_order(estimator, used)}
    if "encoder" in steps.values():
        lines.append(LIMITED_ENCODER if estimator.family == "boosting" else ENCODER)
    if any(re.search(r"\bscaled\b", step) for step in steps.values()):
        lines.append(SCALED)
    if "many_categories" in used:
        lines.append(FOLDS)
    lines += ["    columns = ColumnTransformer(", "        ["]
    for group, step in steps.items():
        lines += _column(group, step)
    lines += ["        ]", "    )", *render_model(estimator, used, task)]
    lines.append('    return Pipeline([("columns", columns), ("model", model)])')
    return "\n".join(lines)


def _column(group: str, step: str) -> list[str]:
    """Render the entry of a feature group in the ColumnTransformer: on one line, or on a line for each part."""
    parts = [f'"{group}"', step, f'groups["{group}"]']
    line = f"            ({', '.join(parts)}),"
    if len(line) <= MAX_LINE:
        return [line]
    return ["            (", *(f"                {part}," for part in parts), "            ),"]

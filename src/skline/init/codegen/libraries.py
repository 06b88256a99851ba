"""The estimators of LightGBM, XGBoost and CatBoost that `skline init --estimator` can write, as lines of Python."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from skline.contract.spec import Task
from skline.errors import SklineError


@dataclass(frozen=True)
class LibraryCode:
    """What is written for a library.

    Attributes
    ----------
    requirement : str
        What `uv add` installs.
    prefix : str
        The classes' names without Classifier and Regressor.
    stopping, small : tuple of str
        Arguments with early stopping, and for small trees without it.
    poisson : str
        The argument for the Poisson loss.
    common : tuple of str
        Arguments of every model: no output, and the same model on any number of threads.
    """

    requirement: str
    prefix: str
    stopping: tuple[str, ...]
    small: tuple[str, ...]
    poisson: str
    common: tuple[str, ...] = ()


#: With at most 64 leaves a tree, plans look the leaves up; larger trees are scored more slowly.
LIBRARIES: dict[str, LibraryCode] = {
    "lightgbm": LibraryCode(
        "lightgbm",
        "LGBM",
        ("learning_rate=0.05", "num_leaves=31", "colsample_bytree=0.5", "reg_lambda=1.0"),
        ("n_estimators=100", "learning_rate=0.05", "num_leaves=15", "min_child_samples=10", "colsample_bytree=0.5"),
        'objective="poisson"',
        ("deterministic=True", "force_row_wise=True", "verbosity=-1"),
    ),
    "xgboost": LibraryCode(
        "xgboost-cpu",
        "XGB",
        ("learning_rate=0.05", "max_depth=6", "colsample_bytree=0.5"),
        ("n_estimators=100", "learning_rate=0.05", "max_depth=4", "colsample_bytree=0.5"),
        'objective="count:poisson"',
    ),
    "catboost": LibraryCode(
        "catboost",
        "CatBoost",
        ("learning_rate=0.05", "depth=6", "l2_leaf_reg=3.0"),
        ("n_estimators=200", "learning_rate=0.05", "depth=4", "l2_leaf_reg=3.0"),
        'loss_function="Poisson"',
        ("allow_writing_files=False",),
    ),
}
LIMIT = "n_estimators=1000,  # upper limit: training stops early, by the score on a held-out tenth of the rows"
MONOTONE = """\
#: Numbers with which the prediction may only rise (1) or only fall (-1), such as {"age": 1}.
MONOTONE: dict[str, int] = {}
"""


def require_library(name: str) -> None:
    """Raise SklineError if the library of this name is not installed."""
    if name in LIBRARIES and importlib.util.find_spec(name) is None:
        raise SklineError(
            f"--estimator {name}: the library is not installed; run `uv add {LIBRARIES[name].requirement}`"
        )


def library_class(library: str, task: Task) -> str:
    """Return the name of the library's class."""
    return LIBRARIES[library].prefix + ("Regressor" if task == "regression" else "Classifier")


def takes_monotone(library: str, used: Sequence[str], task: Task) -> bool:
    """Return whether the written model has constraints: there are numbers, and the library can constrain the task."""
    return "number" in used and not (library == "catboost" and task == "multiclass")


def render_library_model(
    library: str, used: Sequence[str], task: Task, *, early_stopping: bool, poisson: bool
) -> list[str]:
    """Return the statement that creates the model, as lines."""
    code = LIBRARIES[library]
    arguments = [*([LIMIT] if early_stopping else []), *([code.poisson] if poisson else [])]
    arguments += [*(code.stopping if early_stopping else code.small), *code.common]
    wrapper = "BoostingRegressor" if task == "regression" else "BoostingClassifier"
    settings = ['categories=len(groups["category"])'] if "category" in used and library != "catboost" else []
    if takes_monotone(library, used, task):
        settings.append('monotone=[MONOTONE.get(name, 0) for name in groups["number"]]')
    settings += ["early_stopping_rounds=20"] if early_stopping else []
    return [
        f"    model = {wrapper}(",
        f"        {library_class(library, task)}(",
        *(f"            {argument}" + ("" if "#" in argument else ",") for argument in arguments),
        "        ),",
        *(f"        {setting}," for setting in settings),
        "    )",
    ]

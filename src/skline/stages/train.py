"""Fit the Pipeline on the training part.

Calibration, threshold and interval are set by the next stage, tune: other values of them need no other fit.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from skline import paths
from skline.artifact.provenance import library_versions, pipeline_libraries
from skline.artifact.training_sample import TrainingSample
from skline.contract.spec import Contract
from skline.engine import stage_digest
from skline.errors import SklineError
from skline.files import write_joblib, write_json, write_text
from skline.parallel import LOCAL, Workers, parallel
from skline.pickling import PICKLING_ERRORS, require_picklable
from skline.row_weights import effective_rows
from skline.scoring.golden_verification import predict_golden_rows
from skline.search.result import NO_SEARCH, SearchResult
from skline.settings import EngineSettings, Settings
from skline.stages.progress import show_elapsed
from skline.weighted_fit import fit_arguments

#: Training rows that the fit is verified on, besides the edge cases of the contract.
VERIFIED_ROWS = 16


def train(
    rows: pd.DataFrame,
    contract: Contract,
    build: Callable[[Contract], Pipeline],
    params: Mapping[str, Any],
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> Pipeline:
    """Build the pipeline, set its parameters and fit it.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        The training part; only the contract's inputs and target are used.
    contract : Contract
    build : function from Contract to unfitted Pipeline
        From `src/model/pipeline.py`.
    params : mapping from "step__parameter" to value
    seed : int
        Value of every `random_state` that is None.
    weights : float64 array of shape (n_rows,), optional
        Of the rows, for the last step.

    Raises
    ------
    SklineError
        If the pipeline is none for this task, a parameter is unknown, scikit-learn rejects a value, a step looks up
        a column by a name that is not its own, or the last step takes no weights.
    """
    pipeline = build(contract)
    require_estimator_of_task(pipeline, contract)
    if unused := unused_inputs(pipeline, contract):
        print(
            f"src/model/pipeline.py uses no column of the feature groups {', '.join(unused)}: "
            f"{', '.join(name for names in unused.values() for name in names)}; list the groups there, or remove the "
            "columns from Inputs"
        )
    set_params(pipeline, params, seed)
    arguments = fit_arguments(pipeline, weights)
    try:
        with show_elapsed("fit"):
            pipeline.fit(rows[contract.input_names], rows[contract.target.name].to_numpy(), **arguments)
    except KeyError as error:
        if (misnamed := misnamed_column(error, contract.input_names)) is None:
            raise
        name, column = misnamed
        raise SklineError(
            f"src/model/pipeline.py uses {name!r}; the column is called {column!r} (where src/model/contract.py gives "
            "an `alias`, that is the name)"
        ) from error
    except ValueError as error:
        raise SklineError(
            f"the pipeline of src/model/pipeline.py cannot be fitted on {len(rows)} rows: {error}"
            f"{_inputs_of(error, contract.input_names)}"
        ) from error
    return pipeline


def require_estimator_of_task(pipeline: Any, contract: Contract) -> None:
    """Raise SklineError if `build_pipeline` returned no Pipeline, or one whose estimator is of another task."""
    if not isinstance(pipeline, Pipeline):
        raise SklineError(
            f"build_pipeline() in src/model/pipeline.py returned {type(pipeline).__name__}; it must return a Pipeline"
        )
    is_other = is_regressor(pipeline) if contract.classes is not None else is_classifier(pipeline)
    if is_other:
        needed = "regressor" if contract.classes is None else "classifier"
        raise SklineError(
            f"{type(pipeline.steps[-1][1]).__name__} in src/model/pipeline.py is no {needed}, which the task "
            f"{contract.task} of the target {contract.target.name!r} needs; use another estimator, or declare another "
            "type of the target in src/model/contract.py"
        )


def unused_inputs(pipeline: Pipeline, contract: Contract) -> dict[str, list[str]]:
    """Return the feature groups that the pipeline's ColumnTransformer drops as a whole, as after a hand edit."""
    first = pipeline.steps[0][1]
    if not isinstance(first, ColumnTransformer) or first.remainder != "drop":
        return {}
    taken: set[str] = set()
    for _, _, columns in first.transformers:
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            return {}  # selected in another way than by name
        taken.update(columns)
    groups = contract.feature_groups()
    return {group: names for group, names in groups.items() if not taken & set(names)}


def _inputs_of(error: ValueError, names: Sequence[str]) -> str:
    """Return the inputs, as the end of a message on a column that ColumnTransformer does not find; else nothing."""
    if "column names are not columns" not in str(error):
        return ""
    misnamed = misnamed_column(error, names)
    return ("" if misnamed is None else f"; did you mean {misnamed[1]!r}?") + f" The inputs are {', '.join(names)}"


def misnamed_column(error: KeyError | ValueError, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the name that pandas looked up in vain, and the column in `names` that it resembles, if there is one."""
    folded = {name.casefold(): name for name in names}
    for name in re.findall("'([^']*)'", str(error)):
        if name not in names and (similar := difflib.get_close_matches(name.casefold(), folded, n=1)):
            return name, folded[similar[0]]
    return None


def set_params(pipeline: Pipeline, params: Mapping[str, Any], seed: int) -> None:
    """Set `params`, and every `random_state` that is None to `seed`.

    Raises
    ------
    SklineError
        If the pipeline has no such parameter.
    """
    current = pipeline.get_params()
    for name in params:
        if name not in current:
            closest = difflib.get_close_matches(name, current, n=1, cutoff=0.5)
            raise SklineError(
                f"train.params: the pipeline has no parameter {name!r}"
                + (f"; did you mean {closest[0]!r}?" if closest else "; write it as step__parameter")
            )
    seeds = {name: seed for name, value in current.items() if name.split("__")[-1] == "random_state" and value is None}
    pipeline.set_params(**seeds | dict(params))


def search_params(
    rows: pd.DataFrame,
    contract: Contract,
    build: Callable[[Contract], Pipeline],
    settings: Settings,
    weights: npt.NDArray[np.float64] | None = None,
    workers: Workers = LOCAL,
) -> SearchResult:
    """Run the search that `train.search` describes, starting from `train.params`; by default there is none.

    See `skline.search.search.search` for what it raises. Without a search the result has no trials.
    """
    if not settings.train.search.candidates:
        return NO_SEARCH
    from skline.search.search import search

    pipeline = build(contract)
    set_params(pipeline, settings.train.params, settings.train.seed)
    result = search(
        pipeline, rows, contract, settings.train.search, settings.split.kind, settings.train.seed, weights, workers
    )
    default, best = result.trials[0], result.trials[result.chosen or 0]
    print(
        f"searched {len(result.trials)} configurations by {result.metric} over {result.folds}: "
        f"{best.score:.6g} with {best.params or 'the default'}, the default has {default.score:.6g}"
    )
    return result


def write_fit(
    pipeline: Pipeline, contract: Contract, rows: list[dict[str, Any]], sample: TrainingSample | None = None
) -> None:
    """Write the fitted pipeline, what it predicts for some rows, and what fitted it.

    Parameters
    ----------
    rows : list of JSON rows
        The stage tune, another process, verifies that the pipeline predicts the same for them.
    sample : TrainingSample, optional
        The rows that it was fitted on, if not on all.
    """
    try:
        write_joblib(paths.FITTED, pipeline)
    except PICKLING_ERRORS:
        require_picklable(pipeline)  # names the step
        raise
    write_text(paths.FITTED_ROWS, predict_golden_rows(contract, pipeline, rows).model_dump_json(indent=1))
    origin = {"engine": stage_digest("train"), "libraries": library_versions(pipeline)}
    write_json(paths.ORIGIN, origin | ({"sample": sample.model_dump()} if sample else {}))


def main() -> None:
    """Read the training part; write the fit, and rows of it to verify the fit on, to models/."""
    from model.pipeline import build_pipeline
    from skline.scoring.golden_rows import choose_golden_rows
    from skline.stages.training_rows import read_training_rows

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    columns = [*contract.input_names, contract.target.name]
    order = [contract.by_role(role).name for role in ("time", "group") if role == settings.split.kind]
    rows, weights, sample = read_training_rows(
        paths.part("train"), list(dict.fromkeys([*columns, *order])), contract, settings.train
    )
    if sample:
        print(sample.describe())
    unfitted = build_pipeline(contract)
    require_picklable(unfitted)  # before a search and a fit that may be long
    engine = settings.engine if settings.train.search.candidates else EngineSettings()
    with parallel(engine, pipeline_libraries(unfitted)) as workers:
        search = search_params(rows, contract, build_pipeline, settings, weights, workers)
    write_json(paths.SEARCH, search.to_json())
    params, seed = settings.train.params | search.params, settings.train.seed
    pipeline = train(rows, contract, build_pipeline, params, seed, weights)
    write_fit(pipeline, contract, choose_golden_rows(rows, rows, contract, VERIFIED_ROWS, seed), sample)
    effective = "" if weights is None else f" (effective: {effective_rows(weights):,.0f})"
    print(f"fitted on {len(rows):,} rows{effective}, {paths.FITTED.stat().st_size / 1e6:.1f} MB")

"""Fit the Pipeline on the training part, tune it on the validation part, and store what packaging needs."""

import difflib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from skline import paths
from skline.artifact.provenance import library_versions
from skline.artifact.tuning import Tuning
from skline.contract.spec import Contract
from skline.engine import stage_digest
from skline.errors import SklineError
from skline.files import write_bytes, write_json, write_text
from skline.scoring import plan_storage
from skline.scoring.golden_verification import add_single_row_predictions, parse_rows, predict_golden_rows
from skline.scoring.planning import ScoringChoice, choose_scoring
from skline.search.result import NO_SEARCH, SearchResult
from skline.settings import Settings
from skline.stages.progress import show_elapsed
from skline.tuning.tune import tune


def train(
    rows: pd.DataFrame,
    contract: Contract,
    build: Callable[[Contract], Pipeline],
    params: Mapping[str, Any],
    seed: int,
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

    Raises
    ------
    SklineError
        If a parameter is unknown, or scikit-learn rejects a value.
    """
    pipeline = build(contract)
    if unused := unused_inputs(pipeline, contract):
        print(
            f"src/model/pipeline.py uses no column of the feature groups {', '.join(unused)}: "
            f"{', '.join(name for names in unused.values() for name in names)}; list the groups there, or remove the "
            "columns from Inputs"
        )
    set_params(pipeline, params, seed)
    try:
        with show_elapsed("fit"):
            pipeline.fit(rows[contract.input_names], rows[contract.target.name].to_numpy())
    except ValueError as error:
        raise SklineError(
            f"the pipeline of src/model/pipeline.py cannot be fitted on {len(rows)} rows: {error}"
        ) from error
    return pipeline


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
    rows: pd.DataFrame, contract: Contract, build: Callable[[Contract], Pipeline], settings: Settings
) -> SearchResult:
    """Run the search that `train.search` describes, starting from `train.params`; by default there is none.

    See `skline.search.search.search` for what it raises. Without a search the result has no trials.
    """
    if not settings.train.search.candidates:
        return NO_SEARCH
    from skline.search.search import search

    pipeline = build(contract)
    set_params(pipeline, settings.train.params, settings.train.seed)
    result = search(pipeline, rows, contract, settings.train.search, settings.split.kind, settings.train.seed)
    default, best = result.trials[0], result.trials[result.chosen or 0]
    print(
        f"searched {len(result.trials)} configurations by {result.metric} over {result.folds}: "
        f"{best.score:.6g} with {best.params or 'the default'}, the default has {default.score:.6g}"
    )
    return result


def write_model(
    pipeline: Pipeline, contract: Contract, golden: list[dict[str, Any]], tuning: Tuning | None = None
) -> ScoringChoice:
    """Write models/: the pipeline, the golden rows with its predictions, the plan, the tuning and what fitted it.

    Parameters
    ----------
    golden : list of JSON rows
    tuning : Tuning, optional
        Calibration, threshold and interval that were set on the validation part.

    Returns
    -------
    How the pipeline is scored: by a plan or by itself.
    """
    golden_rows = predict_golden_rows(contract, pipeline, golden)
    choice, plan = choose_scoring(pipeline, contract.inputs, parse_rows(contract, golden))
    if choice.exactness == "ulp":
        golden_rows = add_single_row_predictions(contract, pipeline, golden_rows)
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    write_bytes(paths.MODEL, buffer.getvalue())
    write_text(paths.GOLDEN, golden_rows.model_dump_json(indent=1))
    write_json(paths.CHOICE, asdict(choice))
    if plan is None:
        paths.PLAN.unlink(missing_ok=True)
    else:
        write_bytes(paths.PLAN, plan_storage.dump_plan(plan))
    write_json(paths.TUNING, (tuning or Tuning(rows=0)).model_dump())
    write_json(paths.ORIGIN, {"engine": stage_digest("train"), "libraries": library_versions()})
    return choice


def describe_scoring(choice: ScoringChoice) -> str:
    """Return by what rows are scored; without a plan, why, what it costs, and how the pipeline gets one."""
    if choice.path == "plan":
        return f"scored by the plan, exact to the {choice.exactness}"
    return (
        f"scored by the pipeline itself, which takes milliseconds a row instead of microseconds: {choice.reason}. To "
        "have a plan, use the steps that docs/scoring.md of skline lists; a column derived in another way can be "
        "computed in src/model/source.py and declared in src/model/contract.py: it is then an input that callers send"
    )


def main() -> None:
    """Read the training and validation parts; write models/."""
    from model.pipeline import build_pipeline
    from skline.files import read_table
    from skline.scoring.golden_rows import choose_golden_rows

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    columns = [*contract.input_names, contract.target.name]
    order = [contract.by_role(role).name for role in ("time", "group") if role == settings.split.kind]
    rows = read_table(paths.part("train"), list(dict.fromkeys([*columns, *order])))
    search = search_params(rows, contract, build_pipeline, settings)
    write_json(paths.SEARCH, search.to_json())
    pipeline = train(rows, contract, build_pipeline, settings.train.params | search.params, settings.train.seed)
    validation = read_table(paths.part("validation"), columns)
    pipeline, tuning = tune(
        pipeline,
        validation,
        contract,
        method=settings.train.calibrate,
        threshold=settings.train.threshold,
        level=settings.train.interval,
        seed=settings.train.seed,
    )
    golden = choose_golden_rows(rows, validation, contract, settings.train.golden_rows, settings.train.seed)
    scoring = write_model(pipeline, contract, golden, tuning)
    print(f"fitted on {len(rows):,} rows, {paths.MODEL.stat().st_size / 1e6:.1f} MB")
    if tuning.calibration:
        print(f"calibration {tuning.calibration.method}: {tuning.calibration.reason}")
    if tuning.threshold:
        print(f"threshold {tuning.threshold.value:.4f}: {tuning.threshold.objective}")
    if tuning.interval:
        interval = tuning.interval
        print(f"{interval.level:.0%} of {interval.rows:,} errors are within ±{interval.half_width:.6g}")
    print(describe_scoring(scoring))

"""Fit the one Pipeline, on the training part and on the contract's inputs alone."""

import difflib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import joblib
import pandas as pd
from sklearn.pipeline import Pipeline

from skline import paths, progress
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.files import write_bytes, write_json, write_text
from skline.origin import origin
from skline.scoring import stored
from skline.scoring.golden import answer, answer_alone, read_rows
from skline.scoring.scorer import Choice, prepare
from skline.search.found import NO_SEARCH, Found
from skline.settings import Settings
from skline.tuning.record import Tuning
from skline.tuning.tune import tune


def train(
    rows: pd.DataFrame,
    contract: Contract,
    build: Callable[[Contract], Pipeline],
    params: Mapping[str, Any],
    seed: int,
) -> Pipeline:
    """Build, set up and fit the pipeline.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        The training part; of its columns only the contract's inputs and target are looked at.
    contract : Contract
    build : function from Contract to unfitted Pipeline
        From `src/model/pipeline.py`.
    params : mapping from "step__parameter" to value
    seed : int
        Given to every step that has a `random_state` and none of its own.

    Raises
    ------
    SklineError
        If a parameter is unknown, or scikit-learn refuses a value.
    """
    pipeline = build(contract)
    set_params(pipeline, params, seed)
    try:
        progress.fit(pipeline, rows[contract.input_names], rows[contract.target.name].to_numpy())
    except ValueError as error:
        raise SklineError(
            f"the pipeline of src/model/pipeline.py cannot be fitted on {len(rows)} rows: {error}"
        ) from error
    return pipeline


def set_params(pipeline: Pipeline, params: Mapping[str, Any], seed: int) -> None:
    """Set `params`, and `seed` wherever a random state is still open.

    Raises
    ------
    SklineError
        If the pipeline has no such parameter.
    """
    known = pipeline.get_params()
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise SklineError(
                f"train.params: the pipeline has no parameter {name!r}"
                + (f"; did you mean {near[0]!r}?" if near else "; write it as step__parameter")
            )
    seeds = {name: seed for name, value in known.items() if name.split("__")[-1] == "random_state" and value is None}
    pipeline.set_params(**seeds | dict(params))


def find(rows: pd.DataFrame, contract: Contract, build: Callable[[Contract], Pipeline], settings: Settings) -> Found:
    """Search for better parameters if `train.search` asks for it; the default ones are `train.params`.

    Parameters are those of `skline.search.search.search`, which also says what is raised; without a search the
    result holds no trials.
    """
    if not settings.train.search.candidates:
        return NO_SEARCH
    from skline.search.search import search

    pipeline = build(contract)
    set_params(pipeline, settings.train.params, settings.train.seed)
    found = search(pipeline, rows, contract, settings.train.search, settings.split.kind, settings.train.seed)
    default, best = found.trials[0], found.trials[found.chosen or 0]
    print(
        f"searched {len(found.trials)} configurations by {found.metric} over {found.folds}: "
        f"{best.score:.6g} with {best.params or 'the default'}, the default has {default.score:.6g}"
    )
    return found


def write_model(
    pipeline: Pipeline, contract: Contract, golden: list[dict[str, Any]], tuning: Tuning | None = None
) -> Choice:
    """Write what packaging needs, while the pipeline is at hand: itself, golden answers, plan and origin.

    Parameters
    ----------
    golden : list of JSON rows
    tuning : Tuning, optional
        What was set on the validation part.

    Returns
    -------
    How the pipeline is to be scored.
    """
    answers = answer(contract, pipeline, golden)
    choice, plan = prepare(pipeline, contract.inputs, read_rows(contract, golden))
    if choice.exactness == "ulp":
        answers = answer_alone(contract, pipeline, answers)
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    write_bytes(paths.MODEL, buffer.getvalue())
    write_text(paths.GOLDEN, answers.model_dump_json(indent=1))
    write_json(paths.CHOICE, asdict(choice))
    if plan is None:
        paths.PLAN.unlink(missing_ok=True)
    else:
        write_bytes(paths.PLAN, stored.dump(plan))
    write_json(paths.TUNING, (tuning or Tuning(rows=0)).model_dump())
    write_json(paths.ORIGIN, origin())
    return choice


def main() -> None:
    """Read the training and validation parts; write models/."""
    from model.pipeline import build_pipeline
    from skline.files import read_contract, read_table
    from skline.scoring.choose import golden_rows

    settings, contract = Settings.load(), read_contract(paths.CONTRACT)
    wanted = [*contract.input_names, contract.target.name]
    order = [contract.by_role(role).name for role in ("time", "group") if role == settings.split.kind]
    rows = read_table(paths.part("train"), list(dict.fromkeys([*wanted, *order])))
    found = find(rows, contract, build_pipeline, settings)
    write_json(paths.SEARCH, found.to_json())
    pipeline = train(rows, contract, build_pipeline, settings.train.params | found.params, settings.train.seed)
    validation = read_table(paths.part("validation"), wanted)
    pipeline, tuning = tune(
        pipeline,
        validation,
        contract,
        method=settings.train.calibrate,
        threshold=settings.train.threshold,
        level=settings.train.interval,
        seed=settings.train.seed,
    )
    golden = golden_rows(rows, validation, contract, settings.train.golden_rows, settings.train.seed)
    how = write_model(pipeline, contract, golden, tuning)
    print(f"fitted on {len(rows):,} rows, {paths.MODEL.stat().st_size / 1e6:.1f} MB")
    if tuning.calibration:
        print(f"calibration {tuning.calibration.method}: {tuning.calibration.reason}")
    if tuning.threshold:
        print(f"threshold {tuning.threshold.value:.4f}: {tuning.threshold.objective}")
    if tuning.interval:
        print(f"{tuning.interval.level:.0%} of {tuning.interval.rows:,} are within ±{tuning.interval.half_width:.6g}")
    print(f"scored by its {how.path}, exact to the {how.exactness}" + (f" ({how.reason})" if how.reason else ""))

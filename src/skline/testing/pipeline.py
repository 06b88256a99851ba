"""Checks of the project's pipeline: what it is fitted on, and how the service scores it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skline import paths
from skline.contract.frames import to_rows
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.pickling import require_picklable
from skline.scoring.planning import ScoringChoice, choose_scoring
from skline.settings import Settings
from skline.stages.train import train
from skline.testing.rows import random_rows

BuildPipeline = Callable[[Contract], Pipeline]
#: Rows on which a plan is compared with the pipeline.
PLAN_ROWS = 50


def fit(build_pipeline: BuildPipeline, contract: Contract, rows: pd.DataFrame) -> Pipeline:
    """Fit the project's pipeline as the stage `train` does, and assert that its predictions are possible ones.

    SklineError if the fitted pipeline cannot be saved.

    Parameters
    ----------
    build_pipeline : function from Contract to unfitted Pipeline
        Of `src/model/pipeline.py`. It gets `train.params` of params.yaml.
    contract : Contract
    rows : DataFrame
        Labelled rows, such as those of `random_rows`.
    """
    try:
        pipeline = train(rows, contract, build_pipeline, *_settings())
    except SklineError as error:
        # Its message says what is wrong; pytest would print the source of each library that the cause went through.
        __tracebackhide__ = True
        raise error.with_traceback(None) from None
    predictions = np.asarray(pipeline.predict(rows[contract.input_names]))
    if predictions.shape != (len(rows),):
        raise AssertionError(f"for {len(rows)} rows the pipeline predicts an array of shape {predictions.shape}")
    if contract.classes is None:
        if not np.isfinite(predictions).all():
            raise AssertionError("the pipeline predicts numbers that are not finite, which the service cannot return")
    elif unknown := set(predictions.tolist()) - set(contract.classes):
        raise AssertionError(f"the pipeline predicts {unknown}; the classes of the contract are {contract.classes}")
    require_picklable(pipeline)
    return pipeline


def check_fit_inputs(build_pipeline: BuildPipeline, contract: Contract) -> None:
    """Assert that the pipeline is fitted on the inputs alone, though the table holds the leaks and the target too."""
    seen: list[str] = []

    def build_recording(contract: Contract) -> Pipeline:
        pipeline = build_pipeline(contract)
        fit_pipeline = pipeline.fit

        def record_and_fit(X: pd.DataFrame, y: Any) -> Any:
            seen.extend(X.columns)
            return fit_pipeline(X, y)

        pipeline.fit = record_and_fit
        return pipeline

    rows = random_rows(contract).assign(**dict.fromkeys(contract.leaks, 1.0))
    train(rows, contract, build_recording, *_settings())
    for name in seen:
        if name in contract.leaks:
            raise AssertionError(f"the pipeline is fitted on {name}, a leak: {contract.leaks[name]}")
        if name not in contract.input_names:
            raise AssertionError(f"the pipeline is fitted on {name}, which is not in Inputs of src/model/contract.py")
    if seen != contract.input_names:
        raise AssertionError(f"the pipeline is fitted on {seen}, and the inputs are {contract.input_names}")


def scoring(pipeline: Pipeline, contract: Contract, rows: pd.DataFrame) -> ScoringChoice:
    """Return how the service would score a fitted pipeline: `path` is "plan" or "pipeline", `reason` why no plan."""
    choice, _ = choose_scoring(pipeline, contract.inputs, to_rows(contract.inputs, rows.iloc[:PLAN_ROWS]))
    return choice


def _settings() -> tuple[Mapping[str, Any], int]:
    """Return the parameters of the pipeline and the seed in params.yaml, or the defaults if there is none."""
    if not paths.PARAMS.exists():
        return {}, 0
    settings = Settings.load()
    return settings.train.params, settings.train.seed

"""Tune the fitted Pipeline on the validation part, plan how it is scored, and store what packaging needs.

The stage does not fit the pipeline: after a change of threshold, calibration or interval alone, the pipeline is the one
that the stage train has written.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from skline import paths
from skline.artifact import GoldenRows
from skline.artifact.provenance import differing_libraries
from skline.artifact.tuning import Tuning
from skline.batches import read_frames
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.files import write_bytes, write_joblib, write_json, write_text
from skline.row_weights import read_weights
from skline.scoring import plan_storage
from skline.scoring.equality import describe_exactness
from skline.scoring.golden_verification import (
    add_single_row_predictions,
    compare_pipeline,
    parse_rows,
    predict_golden_rows,
)
from skline.scoring.planning import ScoringChoice, choose_scoring
from skline.scoring.row_independence import find_row_dependence
from skline.settings import Settings
from skline.tuning.tune import tune

#: Fits once more, and only then what depends on it.
REMEDY = "fit again with `dvc repro -sf train`, then run `dvc repro`"


def require_same_libraries(recorded: Mapping[str, str]) -> None:
    """Raise SklineError if the pipeline was fitted by other versions of the libraries than those that are installed.

    The artifact names the libraries of the fit. Others may read the pipeline differently.
    """
    if different := differing_libraries(recorded):
        names = ", ".join(f"{name} {recorded[name]} (now {now or 'missing'})" for name, now in different.items())
        raise SklineError(f"tune: {paths.FITTED} was fitted with {names}; {REMEDY}")


def require_same_predictions(pipeline: Any, contract: Contract, rows: GoldenRows) -> None:
    """Raise SklineError if the pipeline, read from disk in a new process, does not predict as when it was fitted.

    Numbers may differ by a few units in the last place, as they do where another processor has fitted it.
    """
    if difference := compare_pipeline(contract, pipeline, rows, "ulp"):
        raise SklineError(
            f"tune: the pipeline read from {paths.FITTED} does not predict as when it was fitted: {difference}; "
            f"a step keeps state that its pickle loses, or depends on something else than its inputs: {REMEDY}"
        )


def write_model(
    pipeline: Pipeline, contract: Contract, golden: list[dict[str, Any]], tuning: Tuning | None = None
) -> ScoringChoice:
    """Write models/: the pipeline, the golden rows with its predictions, the plan and the tuning.

    Parameters
    ----------
    golden : list of JSON rows
    tuning : Tuning, optional
        Calibration, threshold and interval that were set on the validation part.

    Returns
    -------
    How the pipeline is scored: by a plan or by itself.

    Raises
    ------
    SklineError
        If the prediction for a row depends on the other rows of its batch.
    """
    golden_rows, parsed = predict_golden_rows(contract, pipeline, golden), parse_rows(contract, golden)
    choice, plan = choose_scoring(pipeline, contract.inputs, parsed)
    if plan is None and (dependence := find_row_dependence(pipeline, contract.inputs, parsed)):
        raise SklineError(
            f"tune: {dependence}, so a client would get other predictions than the evaluation measured. Let the step "
            "learn such values in fit (a scikit-learn transformer), or compute them in src/model/source.py"
        )
    if choice.exactness == "ulp":
        golden_rows = add_single_row_predictions(contract, pipeline, golden_rows)
    write_joblib(paths.MODEL, pipeline)
    write_text(paths.GOLDEN, golden_rows.model_dump_json(indent=1))
    write_json(paths.CHOICE, asdict(choice))
    if plan is None:
        paths.PLAN.unlink(missing_ok=True)
    else:
        write_bytes(paths.PLAN, plan_storage.dump_plan(plan))
    write_json(paths.TUNING, (tuning or Tuning(rows=0)).model_dump())
    return choice


def describe_scoring(choice: ScoringChoice) -> str:
    """Return by what rows are scored; without a plan, why, what it costs, and how the pipeline gets one."""
    if choice.path == "plan":
        return (
            "the service scores by the plan, arithmetic that is read out of the fitted pipeline and takes microseconds "
            f"a row; its predictions equal the pipeline's {describe_exactness(choice.exactness)}"
        )
    return (
        f"scored by the pipeline itself, which takes milliseconds a row instead of microseconds: {choice.reason}. To "
        "have a plan, use the steps that docs/scoring.md of skline lists; a column derived in another way can be "
        "computed in src/model/source.py and declared in src/model/contract.py: it is then an input that callers send"
    )


def describe_tuning(tuning: Tuning) -> list[str]:
    """Return what was set on the validation part, one line each."""
    lines = []
    if calibration := tuning.calibration:
        is_off = calibration.method == "off"
        head = "probabilities are not calibrated" if is_off else f"probabilities are calibrated by {calibration.method}"
        lines.append(f"{head}: {calibration.reason}")
    if tuning.threshold:
        lines.append(f"threshold {tuning.threshold.value:.4f}: {tuning.threshold.objective}")
    if interval := tuning.interval:
        lines.append(
            f"prediction interval ±{interval.half_width:,.6g}: {interval.level:.0%} of the errors on "
            f"{interval.rows:,} validation rows are within it"
        )
    return lines


def distinct_texts(part: Path, contract: Contract) -> dict[str, pd.Series]:
    """Return the distinct values of each input of text in a part, which is read in batches."""
    names = [column.name for column in contract.inputs if column.kind == "string"]
    found = {name: pd.Series(dtype="str") for name in names}
    for rows in read_frames(part, names) if names else ():
        found = {name: pd.concat([found[name], rows[name]], ignore_index=True).drop_duplicates() for name in names}
    return found


def main() -> None:
    """Read the fitted pipeline, and the training and validation parts; write the tuned pipeline to models/."""
    import joblib

    from skline.files import read_json, read_table
    from skline.scoring.golden_rows import choose_golden_rows

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    require_same_libraries(read_json(paths.ORIGIN)["libraries"])
    fitted = joblib.load(paths.FITTED)
    require_same_predictions(fitted, contract, GoldenRows.model_validate(read_json(paths.FITTED_ROWS)))
    validation = read_table(paths.part("validation"), [*contract.input_names, contract.target.name])
    pipeline, tuning = tune(
        fitted,
        validation,
        contract,
        method=settings.train.calibrate,
        threshold=settings.train.threshold,
        level=settings.train.interval,
        seed=settings.train.seed,
        weights=read_weights(paths.part("validation")),
    )
    seen = distinct_texts(paths.part("train"), contract)
    golden = choose_golden_rows(seen, validation, contract, settings.train.golden_rows, settings.train.seed)
    scoring = write_model(pipeline, contract, golden, tuning)
    print("\n".join([*describe_tuning(tuning), describe_scoring(scoring)]))

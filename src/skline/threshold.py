"""The operating threshold of a binary model: what it is, what others would give, and another one in params.yaml."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skline import paths
from skline.artifact.tuning import Threshold, Tuning
from skline.contract.spec import Contract, Scalar
from skline.errors import SklineError
from skline.files import read_json, read_table, write_text
from skline.settings import Settings
from skline.settings.edit import set_value
from skline.settings.training import Objective

#: Shares of the rows for which the thresholds of the table predict the second class.
SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)


@dataclass(frozen=True)
class Operation:
    """What a threshold gives on some rows.

    `share` is the share of rows that are predicted to be of the second class; `precision` is None if there are none.
    """

    threshold: float
    precision: float | None
    recall: float
    share: float


def read_binary_contract() -> Contract:
    """Read the contract of the pipeline.

    Raises
    ------
    SklineError
        If the stage ingest has not written it, or it is not that of a binary classifier.
    """
    contract = Contract.read(paths.CONTRACT)
    if contract.task != "binary":
        raise SklineError(f"the model's task is {contract.task}; only a binary classifier has a threshold")
    return contract


def operations(
    probabilities: npt.NDArray[np.float64], is_positive: npt.NDArray[np.bool_], current: float
) -> list[Operation]:
    """Return what some thresholds give, the current one among them, from the lowest to the highest.

    Parameters
    ----------
    probabilities : float64 array of shape (n_rows,)
        Of the second class.
    is_positive : bool array of shape (n_rows,)
        Whether the row is of the second class.
    current : float

    Raises
    ------
    SklineError
        If no row is of the second class.
    """
    if not is_positive.any():
        raise SklineError("no row of the validation part is of the second class: its thresholds cannot be compared")
    quantiles = np.quantile(probabilities, 1 - np.array(SHARES), method="higher")
    rounded = {float(f"{value:.3g}") for value in quantiles}
    return [
        operation(probabilities, is_positive, threshold)
        for threshold in sorted({value for value in rounded if 0 < value < 1} | {current})
    ]


def operation(
    probabilities: npt.NDArray[np.float64], is_positive: npt.NDArray[np.bool_], threshold: float
) -> Operation:
    """Return what one threshold gives."""
    is_predicted = probabilities >= threshold
    predicted, hits = int(is_predicted.sum()), int((is_predicted & is_positive).sum())
    return Operation(
        threshold,
        hits / predicted if predicted else None,
        hits / int(is_positive.sum()),
        predicted / len(probabilities),
    )


def read_current() -> Threshold:
    """Return the threshold of the pipeline in models/.

    Raises
    ------
    SklineError
        If there is none, or it has no probabilities.
    """
    if not paths.TUNING.exists() or not paths.MODEL.exists():
        raise SklineError(f"there is no model in {paths.MODEL.parent}/; run `dvc repro` (or `dvc pull`) first")
    threshold = Tuning.model_validate(read_json(paths.TUNING)).threshold
    if threshold is None:
        raise SklineError(f"{paths.TUNING} has no threshold; run `dvc repro`")
    return threshold


def score_validation_part(
    contract: Contract, positive: Scalar
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the probabilities of the class `positive` on the validation part, and which rows are of that class.

    Raises
    ------
    SklineError
        If the validation part is missing, or the model has no probabilities.
    """
    import joblib

    from skline.scoring.reference import score_frame

    rows = read_table(paths.part("validation"), [*contract.input_names, contract.target.name])
    pipeline: Any = joblib.load(paths.MODEL)
    probabilities = score_frame(pipeline, rows[contract.input_names]).probabilities
    if probabilities is None:
        raise SklineError(f"{type(pipeline[-1]).__name__} has no probabilities, so that it has no threshold")
    return probabilities[:, 1], rows[contract.target.name].to_numpy() == positive


def change_setting(value: float | Objective) -> tuple[str, str]:
    """Set `train.threshold` in params.yaml; return the setting before and after, as text.

    Raises
    ------
    SklineError
        If params.yaml is not valid, or written in a way in which the setting alone cannot be changed.
    """
    before = Settings.load().train.threshold
    new = value if isinstance(value, float) else value.model_dump(exclude_unset=True)
    if before != value:
        write_text(paths.PARAMS, set_value(paths.PARAMS.read_text(encoding="utf-8"), "train", "threshold", new))
    return describe_setting(before), describe_setting(Settings.load().train.threshold)


def describe_setting(setting: float | Objective) -> str:
    """Return `train.threshold` as a phrase."""
    return f"{setting:g}" if isinstance(setting, float | int) else setting.describe()

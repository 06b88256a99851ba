"""What MLflow imports to load a registered version: `mlflow.pyfunc.load_model("models:/NAME@champion")`.

MLflow decides what it loads; this module verifies that the artifact has the digest that was registered with it, and
that it reproduces its golden rows. Who can write to the registry can replace both: see docs/mlflow.md.
"""

from pathlib import Path
from typing import Any

import numpy.typing as npt

from skline.artifact import Artifact
from skline.errors import SklineError
from skline.loading import Model
from skline.registry.mlflow_model import PREDICT, PREDICT_FN, PREDICT_PROBA
from skline.release.in_service import local_model


class PyfuncModel:
    """The model behind MLflow's `PyFuncModel`.

    Attributes
    ----------
    model : skline.loading.Model
        What `skline.load` returns; `PyFuncModel.get_raw_model()` returns it too.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> npt.NDArray[Any]:
        """Predict for rows that the contract reads.

        Parameters
        ----------
        data : DataFrame, Arrow table, dict, or list of dict
            As in `skline.loading.Model.predict`.
        params : dict, optional
            `predict_fn`: "predict" (the default) or "predict_proba".

        Returns
        -------
        ndarray of shape (n_rows,), the class or the number; float64 of shape (n_rows, n_classes) for predict_proba.

        Raises
        ------
        MlflowException
            With the contract's message, and the code of an invalid parameter: MLflow's server responds with a 400.
        """
        from mlflow.exceptions import MlflowException

        function = (params or {}).get(PREDICT_FN, PREDICT)
        if function not in (PREDICT, PREDICT_PROBA):
            raise MlflowException.invalid_parameter_value(
                f"{PREDICT_FN} is {function!r}; it must be {PREDICT!r} or {PREDICT_PROBA!r}"
            )
        try:
            if function == PREDICT_PROBA:
                return self.model.predict_proba(data)
            return self.model.predict(data)["prediction"].to_numpy()
        except SklineError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None

    def get_raw_model(self) -> Model:
        """Return the loaded model."""
        return self.model


def _load_pyfunc(path: str) -> PyfuncModel:
    """Load the artifact in the folder PATH, whose digest is in PATH.sha256; MLflow calls this.

    Raises
    ------
    InvalidArtifact
        If the artifact does not match the digest, cannot be loaded, or does not reproduce its golden rows.
    """
    source = local_model(Path(path))
    return PyfuncModel(Model(Artifact.open(source.folder, source.digest)))

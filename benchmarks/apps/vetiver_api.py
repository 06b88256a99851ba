"""vetiver's API around the pipeline, with a handler for probabilities; the standard one returns labels."""

from typing import Any

from vetiver import VetiverAPI, VetiverModel
from vetiver.handlers.base import BaseHandler

from benchmarks.apps.rows import load_pipeline, row_type


class Probabilities(BaseHandler):
    """A handler that returns `predict_proba`."""

    pip_name = "scikit-learn"

    def handler_predict(self, input_data: Any, check_prototype: bool) -> list[Any]:  # noqa: ARG002
        """Score a DataFrame of shape (n_rows, n_columns)."""
        scored: list[Any] = self.model.predict_proba(input_data).tolist()
        return scored


model = VetiverModel(Probabilities(load_pipeline(), None), "pipeline")
model.prototype = row_type()  # the argument prototype_data does not accept a class
app = VetiverAPI(model, check_prototype=True).app

"""vetiver's API around the pipeline; its stock handler answers labels, this one probabilities."""

from typing import Any

from vetiver import VetiverAPI, VetiverModel
from vetiver.handlers.base import BaseHandler

from benchmarks.apps.rows import load_pipeline, row_type


class Probabilities(BaseHandler):
    """A handler whose answer is `predict_proba`."""

    pip_name = "scikit-learn"

    def handler_predict(self, input_data: Any, check_prototype: bool) -> list[Any]:  # noqa: ARG002
        """Score a DataFrame of shape (n_rows, n_columns)."""
        answer: list[Any] = self.model.predict_proba(input_data).tolist()
        return answer


model = VetiverModel(Probabilities(load_pipeline(), None), "pipeline")
model.prototype = row_type()  # given as prototype_data, a class is refused
app = VetiverAPI(model, check_prototype=True).app

"""FastAPI with the project's request and response types, and no model."""

from typing import Annotated

from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict

from benchmarks.apps.rows import FOLDER
from skline.contract.request_validation import field_type, prediction_type, row_type
from skline.contract.spec import Contract

CONTRACT = Contract.from_json((FOLDER / "contract.json").read_bytes())
Row = row_type(CONTRACT, field_type)


class Prediction(BaseModel):
    """The response of `/predict`."""

    model_config = ConfigDict(protected_namespaces=())

    prediction: prediction_type(CONTRACT)
    probabilities: dict[str, float]
    model_version: str
    prediction_id: str


CONSTANT = Prediction.model_validate_json((FOLDER / "constant.json").read_bytes())
app = FastAPI()


@app.post("/predict")
async def predict(row: Annotated[Row, Body()]) -> Prediction:  # noqa: ARG001
    """Validate one row and return a constant."""
    return CONSTANT

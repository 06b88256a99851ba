"""FastAPI with the project's request type and the shape of its response, and no model."""

from typing import Annotated

from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict

from benchmarks.apps.rows import FOLDER
from skline.contract.requests import prediction_type, row_type
from skline.contract.spec import Contract

CONTRACT = Contract.from_json((FOLDER / "contract.json").read_bytes())
Row = row_type(CONTRACT)


class Answer(BaseModel):
    """What `/predict` answers."""

    model_config = ConfigDict(protected_namespaces=())

    prediction: prediction_type(CONTRACT)
    probabilities: dict[str, float]
    model_version: str
    prediction_id: str


ANSWER = Answer.model_validate_json((FOLDER / "constant.json").read_bytes())
app = FastAPI()


@app.post("/predict")
async def predict(row: Annotated[Row, Body()]) -> Answer:  # noqa: ARG001
    """Validate one row and answer a constant."""
    return ANSWER

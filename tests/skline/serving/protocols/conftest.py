"""Both protocols in front of the sample project's pipeline, on a real server."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI, Request
from pydantic_core import to_json

from skline.contract.frames import to_frame
from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract
from skline.scoring.reference import score_frame
from skline.serving.api import mlflow as mlflow_routes
from skline.serving.api import open_inference as open_inference_routes
from skline.serving.errors import RequestError
from skline.serving.prediction.predictor import GetRows
from skline.serving.protocols.adapter import ProtocolAdapter, ScoredBatch
from skline.serving.security.context import headers_by_name
from skline.serving.transport import responses
from skline.serving.transport.body import check_body
from tests.fixtures import demo
from tests.fixtures.server import served

MAX_ROWS = 500


class PipelineAdapter(ProtocolAdapter):
    """An adapter that calls the pipeline directly, without the rest of the service."""

    contract: Contract = demo.contract()  # class attributes, because they replace properties
    name = "demo"
    version = "demo@0123456789ab"
    ready = True

    def __init__(self) -> None:
        self.max_rows = MAX_ROWS
        self.pipeline = demo.pipeline()
        self.row_parser = RowParser(self.contract)

    async def read_body(self, request: Request, types: frozenset[bytes]) -> bytes:
        body = await request.body()
        check_body(body, headers_by_name(request.scope["headers"]), types)
        return body

    def validate(self, rows: list[dict[str, Any]]) -> list[Any]:
        return list(self.row_parser.parse_rows(to_json(rows)))

    async def score(self, request: Request, get_rows: GetRows) -> ScoredBatch:
        if not self.ready:
            raise RequestError(503, "the model is not loaded", "not_ready")
        rows = await asyncio.to_thread(get_rows)
        frame = to_frame(self.contract.inputs, rows)
        scores = await asyncio.to_thread(score_frame, self.pipeline, frame)
        return ScoredBatch(scores, self.version, [f"id-{index}" for index in range(len(rows))])


def application(adapter: PipelineAdapter) -> FastAPI:
    app = FastAPI()
    responses.install_error_handlers(app)
    app.include_router(mlflow_routes.make_router(adapter))
    app.include_router(open_inference_routes.make_router(adapter))
    return app


@pytest.fixture(scope="module")
def adapter() -> PipelineAdapter:
    return PipelineAdapter()


@pytest.fixture(scope="module")
def client(adapter: PipelineAdapter) -> Iterator[httpx.Client]:
    with served(application(adapter)) as client:
        yield client


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Rows outside the training data, with every seventh distance missing; dates are datetimes, as in storage."""
    frame = demo.parts()["live"][demo.contract().input_names].head(50).reset_index(drop=True)
    frame["distance"] = frame["distance"].where(frame.index % 7 != 0)
    return frame


@pytest.fixture(scope="module")
def expected(flights: pd.DataFrame) -> tuple[list[bool], list[list[float]]]:
    """The pipeline's own predictions and probabilities."""
    return demo.pipeline().predict(flights).tolist(), demo.pipeline().predict_proba(flights).tolist()

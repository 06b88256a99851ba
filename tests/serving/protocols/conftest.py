"""The small world's pipeline behind both protocols, on a real server."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI, Request
from pydantic_core import to_json

from serving import errors
from serving.protocols import mlflow_routes, v2_routes
from serving.protocols.service import Answered
from skline.contract.frames import to_frame
from skline.contract.requests import Rows
from skline.contract.spec import Contract
from skline.scoring.reference import score_frame
from tests import demo
from tests.serving.loopback import served

MAX_ROWS = 500


@dataclass
class Scoring:
    """A `Service` that asks the pipeline itself."""

    contract: Contract
    pipeline: Any
    name: str = "demo"
    version: str = "demo@0123456789ab"
    ready: bool = True
    max_rows: int = MAX_ROWS
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads = Rows(self.contract)

    async def read_body(self, request: Request) -> bytes:
        return await request.body()

    def rows_from_values(self, values: list[dict[str, Any]]) -> list[Any]:
        return list(self.reads.read_many(to_json(values)))

    async def score(self, request: Request, rows: list[Any]) -> Answered:
        if not self.ready:
            raise errors.RequestRefused(503, "the model is not loaded", "not_ready")
        self.seen = rows
        frame = to_frame(self.contract.inputs, rows)
        scores = await asyncio.to_thread(score_frame, self.pipeline, frame)
        return Answered(scores, self.version, [f"id-{index}" for index in range(len(rows))])


def application(service: Scoring) -> FastAPI:
    app = FastAPI()
    errors.install(app)
    app.include_router(mlflow_routes.make_router(service))
    app.include_router(v2_routes.make_router(service))
    return app


@pytest.fixture(scope="module")
def service() -> Scoring:
    return Scoring(demo.contract(), demo.pipeline())


@pytest.fixture(scope="module")
def client(service: Scoring) -> Iterator[httpx.Client]:
    with served(application(service)) as client:
        yield client


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Rows that the model did not see, one distance in seven missing; dates are datetimes, as in storage."""
    frame = demo.parts()["live"][demo.contract().input_names].head(50).reset_index(drop=True)
    frame["distance"] = frame["distance"].where(frame.index % 7 != 0)
    return frame


@pytest.fixture(scope="module")
def expected(flights: pd.DataFrame) -> tuple[list[bool], list[list[float]]]:
    """What the pipeline itself says."""
    return demo.pipeline().predict(flights).tolist(), demo.pipeline().predict_proba(flights).tolist()

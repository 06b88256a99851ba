"""A small service around the page: every kind of input there is, real explanations, and refusals on request."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from serving.routers.page import make_router
from skline.artifact import Artifact
from skline.contract.frames import to_frame
from skline.contract.requests import Rows
from skline.contract.spec import Column, Contract
from skline.explain import Explainer
from skline.scoring.golden import read_rows
from skline.scoring.plan import build_plan
from tests import demo
from tests.conftest import running

COLUMNS = (
    Column(name="day", kind="date", description="Day of the visit", example="2026-03-01", minimum="2020-01-01"),
    Column(name="moment", kind="datetime", description="When it was booked", example="2026-02-01T10:30:00Z"),
    Column(name="amount", kind="number", description="Amount in euros", example=12.5, minimum=0, nullable=True),
    Column(name="visits", kind="integer", description="Visits so far", example=3, minimum=0, maximum=400),
    Column(name="member", kind="boolean", description="Whether it is a member", example=True, nullable=True),
    Column(name="town & county", kind="string", description='Where "they" live', example="A<b>", max_length=20),
    Column(name="plan", kind="string", description="Tariff", example="basic", choices=("basic", "gold"), nullable=True),
    Column(name="level", kind="integer", description="Level of service", example=2, choices=(1, 2, 3)),
    Column(name="left", kind="boolean", role="target", description="Whether the customer left"),
)
CONTRACT = Contract(
    title="Visit", description="What is known of a visit.", columns=COLUMNS, task="binary", classes=(False, True)
)


def rows(count: int) -> list[dict[str, Any]]:
    """JSON rows of the contract."""
    random = np.random.default_rng(0)
    return [
        {
            "day": f"2026-03-{random.integers(1, 29):02d}",
            "moment": f"2026-02-{random.integers(1, 29):02d}T10:30:00Z",
            "amount": None if random.random() < 0.2 else round(float(random.gamma(2, 20)), 2),
            "visits": int(random.integers(0, 30)),
            "member": None if random.random() < 0.2 else bool(random.random() < 0.5),
            "town & county": str(random.choice(["A<b>", "Łódź", "Ghent"])),
            "plan": None if random.random() < 0.1 else str(random.choice(["basic", "gold"])),
            "level": int(random.integers(1, 4)),
        }
        for _ in range(count)
    ]


def package(folder: Path) -> Artifact:
    """Fit and package a model of these rows."""
    table = rows(300)
    plain = read_rows(CONTRACT, table)
    left = [(row["amount"] or 0) > 30 or (row["member"] is not True and row["visits"] < 8) for row in table]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    encode = make_column_transformer(
        (encoder, ["town & county", "plan"]),
        ("passthrough", ["amount", "visits", "member", "level"]),
    )
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5))
    model.fit(to_frame(CONTRACT.inputs, plain), np.array(left))
    packaged = demo.package(folder, model, CONTRACT, table[:40])
    return Artifact.open(packaged.folder, packaged.digest)


class Service:
    """The service; `refuse` answers instead of it where it returns a response."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.plan = build_plan(artifact.load_pipeline(), CONTRACT.inputs)
        self.explainer = Explainer.from_artifact(artifact, self.plan.score_rows)
        self.rows = Rows(artifact.contract)
        self.asked: list[dict[str, Any]] = []
        self.refuse: Callable[[Request], Response | None] = lambda request: None
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self.app.include_router(make_router(lambda request: self.artifact))
        self.app.post("/predict")(self.predict)

    async def predict(self, request: Request) -> Response:
        """Answer as the service does."""
        refusal = self.refuse(request)
        if refusal is not None:
            return refusal
        body = await request.body()
        try:
            row = self.rows.read_one(body)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"detail": [f | {"loc": ["body", *f["loc"]]} for f in faults]}, status_code=422)
        self.asked.append(json.loads(body))
        prediction, chances = self.plan.score_row(row)
        assert chances is not None
        answer = {
            "prediction": prediction,
            "probabilities": {"false": chances[0], "true": chances[1]},
            "model_version": self.artifact.version,
            "prediction_id": "0" * 32,
        }
        if request.query_params.get("explain") == "true":
            answer["explanation"] = self.explainer.explain(row).model_dump()
        return JSONResponse(answer)


@contextmanager
def serving(artifact: Artifact) -> Iterator[tuple[Service, str]]:
    """Run the service on loopback; yields it with its address."""
    service = Service(artifact)
    with running(service.app) as client:
        yield service, str(client.base_url)
